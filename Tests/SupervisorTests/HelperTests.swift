import Foundation
import Linux
import Testing

@testable import Supervisor

/// What a supervisor's helper does and what it refuses, over a connection as systemd makes it.
@Suite(.serialized, .enabled(if: geteuid() == 0, "only root can become another user")) final class HelperTests {
    private static let deadline = Duration.seconds(20)
    private let loop = EventLoop(label: "helper-test")
    private let output: Descriptor
    private let directory = FileManager.default.temporaryDirectory.appending(path: "helper-\(UUID().uuidString)").path
    private let user: UInt32
    private let calls: HelperCalls

    init() throws {
        output = try MemoryFile.create("output", size: 65_536, growth: .fixed)
        let users = GuestUsers(directory: directory, isForeign: { _ in false })
        user = try users.user(of: "web")
        calls = HelperCalls {
            let (ours, theirs) = try UnixSocket.pair()
            Thread.detachNewThread { try? Helper(users: users) { _ in "web" }.serve(theirs) }
            return ours
        }
    }

    /// A helper that ends leaves its child to others; here there is nobody else, and what waits for children of its own
    /// would find those first.
    deinit {
        while waitpid(-1, nil, 0) > 0 {}
        try? FileManager.default.removeItem(atPath: directory)
    }

    private var text: String {
        get throws { String(decoding: try output.read(at: 0, count: 65_536).prefix { $0 != 0 }, as: UTF8.self) }
    }

    private func program(_ script: String, inherited: [Descriptor] = []) -> Program {
        program(script, inherited: inherited, confinement: Confinement(user: user))
    }

    private func program(
        _ script: String,
        inherited: [Descriptor] = [],
        confinement: Confinement?
    ) -> Program {
        Program(
            path: "/bin/sh",
            arguments: ["-c", script],
            environment: ["PATH=/usr/bin:/bin"],
            inherited: inherited,
            output: output,
            confinement: confinement
        )
    }

    private func end(of process: GatedProcess) async throws -> ProcessHandle.End {
        try await loop.readable(process.handle.descriptor, deadline: Self.deadline)
        return await process.handle.end(loop)
    }

    @Test func programIsAGuestsUserAndHasWhatWasHandedOver() async throws {
        let file = try MemoryFile.create("file", growth: .allowed)
        let process = try calls.start(program("id -u; echo $(id -g) >/proc/self/fd/\(file.raw)", inherited: [file]))
        #expect(process.handle.isRunning)
        #expect(try text.isEmpty)
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        try process.checkExecuted(path: "/bin/sh")
        #expect(try await end(of: process) == .exited(code: 0))
        #expect(try text == "\(user)\n")
        #expect(String(decoding: try file.read(at: 0, count: 100), as: UTF8.self) == "\(user)\n")
    }

    /// Though it is another process's child.
    @Test(arguments: [("exit 7", ProcessHandle.End.exited(code: 7)), ("kill -9 $$", .killed(signal: SIGKILL))])
    func endIsTold(script: String, expected: ProcessHandle.End) async throws {
        let process = try calls.start(program(script))
        try process.open()
        #expect(try await end(of: process) == expected)
    }

    @Test func nothingIsExecutedWithoutWhoAsked() async throws {
        var process: GatedProcess? = try calls.start(program("echo ran"))
        let handle = try #require(process?.handle)
        process = nil
        try await loop.readable(handle.descriptor, deadline: Self.deadline)
        #expect(try text.isEmpty)
    }

    @Test func whatCannotBeExecutedIsSaid() async throws {
        #expect(throws: SystemCallError("execve", on: "/nowhere/qemu", code: ENOENT)) {
            try calls.start(program(at: "/nowhere/qemu"))
        }
        let text = program(at: "/etc/passwd")
        let process = try calls.start(text)
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        #expect(throws: SystemCallError("execve", on: text.path, code: EACCES)) {
            try process.checkExecuted(path: text.path)
        }
    }

    @Test(arguments: [1, 1000, 65_534, GuestUsers.range.upperBound, GuestUsers.range.lowerBound])
    func nobodyButTheGuestsUser(user: UInt32) throws {
        let error = #expect(throws: HelperError.self) {
            try calls.start(program("", confinement: Confinement(user: user)))
        }
        #expect(error?.description.contains("user \(user) is not that of the guest 'web'") == true)
    }

    @Test func noGroupOfTheHost() throws {
        let confinement = Confinement(user: user, groups: [0])
        let error = #expect(throws: HelperError.self) { try calls.start(program("", confinement: confinement)) }
        #expect(error?.description.contains("no other group") == true)
    }

    @Test func nothingAsRoot() throws {
        #expect(throws: HelperError.self) { try calls.start(program("", confinement: nil)) }
    }

    @Test func onlyTheGuestsProcessesAreLookedInto() throws {
        let own = try ProcessHandle(pid: getpid())
        let attempts: [() throws -> Void] = [
            { _ = try self.calls.look(at: own) }, { _ = try self.calls.fetch([0], from: own) },
        ]
        for attempt in attempts {
            let error = #expect(throws: HelperError.self) { try attempt() }
            #expect(error?.description.contains("process \(getpid()) is not one of the guest 'web'") == true)
        }
    }

    @Test func guestsProcessIsLookedIntoAndFetchedFrom() async throws {
        let file = try MemoryFile.create("ram.main", size: 4096, growth: .fixed)
        let process = try calls.start(program("sleep 100", inherited: [file]))
        try await letThrough(process)
        let view = try calls.look(at: process.handle)
        #expect(try !Mappings(reading: view.maps).entries.isEmpty)
        let numbers = try #require(view.memoryFiles["ram.main"])
        let fetched = try calls.fetch(numbers + [999], from: process.handle)
        #expect(fetched.failures.keys.sorted() == [999])
        for number in numbers {
            #expect(try fetched.descriptor(number).identity().isSameFile(as: try file.identity()))
        }
        #expect(throws: SystemCallError.self) { try fetched.descriptor(999) }
        try process.handle.kill()
        #expect(try await end(of: process) == .killed(signal: SIGKILL))
    }

    @Test func filesAreOpened() throws {
        #expect(try calls.open("/etc/passwd", O_RDONLY).size() > 0)
        #expect(throws: SystemCallError("open", on: "/nowhere", code: ENOENT)) { try calls.open("/nowhere", O_RDONLY) }
    }

    @Test func oneThatIsNotThereIsSaid() throws {
        let calls = HelperCalls { try UnixSocket.connectMessages("/nowhere/helper", deadline: Self.deadline) }
        let error = #expect(throws: HelperError.self) { try calls.start(program("")) }
        #expect(error?.description.contains("systemctl status perdure-helper.socket") == true)
    }

    /// This test is root's, but in no guest's unit. What it would ask for is not even received.
    @Test func onlyASupervisorMayAsk() throws {
        let (ours, theirs) = try UnixSocket.pair()
        var reasons: [String] = []
        try Helper { reasons.append($0) }.serve(theirs)
        let reply = try HelperMessage.receive(HelperReply.self, from: ours, deadline: Self.deadline).0
        guard case .refused(let reason) = reply else {
            Issue.record("\(reply)")
            return
        }
        #expect(reason.contains("is no guest's supervisor") && reasons == [reason], "\(reason)")
    }

    @Test func otherGuestsAreOutOfReach() async throws {
        let users = GuestUsers(directory: directory, isForeign: { _ in false })
        let other = try users.user(of: "db")
        #expect(other != user)
        #expect(throws: HelperError.self) { try calls.start(program("", confinement: Confinement(user: other))) }
        let theirs = HelperCalls {
            let (ours, theirs) = try UnixSocket.pair()
            Thread.detachNewThread { try? Helper(users: users) { _ in "db" }.serve(theirs) }
            return ours
        }
        let process = try theirs.start(program("sleep 100", confinement: Confinement(user: other)))
        try await letThrough(process)
        #expect(throws: HelperError.self) { try calls.look(at: process.handle) }
        #expect(throws: HelperError.self) { try calls.fetch([0], from: process.handle) }
        #expect(try theirs.look(at: process.handle).executed.isEmpty == false)
        try process.handle.kill()
        #expect(try await end(of: process) == .killed(signal: SIGKILL))
    }

    private func letThrough(_ process: GatedProcess) async throws {
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        try process.checkExecuted(path: "/bin/sh")
    }

    /// Before it has become the guest's user it is root's.
    @Test func gatedProcessIsNotLookedInto() throws {
        let process = try calls.start(program(""))
        #expect(throws: HelperError.self) { try calls.look(at: process.handle) }
    }

    @Test func whatAnybodyCanChangeIsNotStarted() throws {
        let path = "\(directory)/program"
        let link = "\(directory)/link"
        #expect(FileManager.default.createFile(atPath: path, contents: Data("#!/bin/sh\n".utf8)))
        #expect(symlink(path, link) == 0)
        for mode: mode_t in [0o757, 0o777] {
            #expect(chmod(path, mode) == 0)
            for name in [path, link] { try expectRefusal("can be changed by others", program(at: name)) }
        }
        #expect(chmod(path, 0o755) == 0 && chown(path, user, user) == 0)
        try expectRefusal("can be changed by others", program(at: path))
        try expectRefusal("is no program", program(at: directory))
        try expectRefusal("is no absolute path", program(at: "bin/sh"))
    }

    private func program(at path: String) -> Program {
        var program = program("")
        program.path = path
        return program
    }

    private func expectRefusal(_ reason: String, _ program: Program) throws {
        let error = #expect(throws: HelperError.self) { try calls.start(program) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test func onlyFilesAndBlockDevicesAreOpened() throws {
        func helped(_ path: String, _ flags: Int32 = O_RDONLY) throws { _ = try HelperFile.open(path, flags) }
        let fifo = "\(directory)/fifo"
        #expect(mkfifo(fifo, 0o600) == 0)
        for path in [
            "/dev/null", "/dev/tty", fifo, "/proc/1/environ", "/proc/version", "/sys/power/state", "etc/passwd",
        ] {
            #expect(throws: HelperError.self, "\(path)") { try helped(path) }
        }
        #expect(throws: HelperError.self) { try helped(directory, O_RDWR) }
        try helped(directory)
        // Nothing is made, and nothing is emptied.
        let file = "\(directory)/file"
        #expect(throws: SystemCallError("open", on: file, code: ENOENT)) { try helped(file, O_RDWR | O_CREAT) }
        #expect(FileManager.default.createFile(atPath: file, contents: Data("kept".utf8)))
        try helped(file, O_RDWR | O_TRUNC)
        #expect(FileManager.default.contents(atPath: file) == Data("kept".utf8))
    }

    @Test func longMessageIsRefused() throws {
        var long = program("")
        long.arguments = [String(repeating: "x", count: 5 << 20)]
        try expectRefusal("too long", long)
        #expect(throws: HelperError.self) {
            try calls.fetch(Array(0..<1000), from: ProcessHandle(pid: getpid()))
        }
    }

    @Test func whatIsNoMessageIsRefused() throws {
        for bytes in [[], Array("{".utf8), Array(#"{"reboot":{}}"#.utf8)] as [[UInt8]] {
            let (ours, theirs) = try UnixSocket.pair()
            let file = try MemoryFile.create("message", growth: .allowed)
            try file.write(bytes, at: 0)
            _ = try UnixSocket.send([0], attaching: [file], to: ours)
            try Helper(users: GuestUsers(directory: directory, isForeign: { _ in false })) { _ in "web" }.serve(theirs)
            let reply = try HelperMessage.receive(HelperReply.self, from: ours, deadline: Self.deadline).0
            guard case .refused = reply else {
                Issue.record("\(reply)")
                return
            }
        }
    }

    /// One that asks for nothing is not waited for.
    @Test func silenceHasAnEnd() throws {
        let (ours, theirs) = try UnixSocket.pair()
        let users = GuestUsers(directory: directory, isForeign: { _ in false })
        try Helper(users: users, requestDeadline: .milliseconds(50)) { _ in "web" }.serve(theirs)
        let reply = try HelperMessage.receive(HelperReply.self, from: ours, deadline: Self.deadline).0
        guard case .refused(let reason) = reply else {
            Issue.record("\(reply)")
            return
        }
        #expect(reason.contains("no answer within"))
    }
}
