import Glibc
import Linux
import Testing

/// Children hold copies of each other's descriptors until they execute: one test at a time.
@Suite(.serialized) struct ProcessTests {
    private static let deadline = Duration.seconds(20)
    private let loop = EventLoop(label: "process-test")
    private let output: Descriptor

    init() throws { output = try MemoryFile.create("output", size: 65_536, growth: .fixed) }

    private func gated(
        _ path: String,
        _ arguments: [String] = [],
        inherited: [Descriptor] = [],
        confinement: Confinement? = nil
    ) throws -> GatedProcess {
        try GatedProcess(
            Program(
                path: path,
                arguments: arguments,
                environment: ["PATH=/usr/bin:/bin", "ONLY=this"],
                inherited: inherited,
                output: output,
                confinement: confinement
            )
        )
    }

    private func shell(_ script: String, inherited: [Descriptor] = []) async throws -> ProcessHandle.End {
        let process = try gated("/bin/sh", ["-c", script], inherited: inherited)
        try process.open()
        return try await end(of: process)
    }

    private func end(of process: GatedProcess) async throws -> ProcessHandle.End {
        try await loop.readable(process.handle.descriptor, deadline: Self.deadline)
        return process.handle.reap()
    }

    private var text: String {
        get throws { String(decoding: try output.read(at: 0, count: 65_536).prefix { $0 != 0 }, as: UTF8.self) }
    }

    @Test func executesNothingBeforeTheGateOpens() async throws {
        let process = try gated("/bin/sh", ["-c", "echo ran"])
        await #expect(throws: EventLoop.DeadlinePassed.self) {
            try await loop.readable(process.execResult, deadline: .milliseconds(50))
        }
        #expect(process.handle.isRunning)
        #expect(try text.isEmpty)
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        try process.checkExecuted(path: "/bin/sh")
        #expect(try await end(of: process) == .exited(code: 0))
        #expect(!process.handle.isRunning)
        #expect(try text == "ran\n")
    }

    /// Whichever numbers they have here: also one another's, and those of what the start itself needs.
    @Test func descriptorsAreRenumbered() async throws {
        let files = try (0..<12).map { index in
            let file = try MemoryFile.create("file", growth: .allowed)
            try file.write(Array("\(index)".utf8), at: 0)
            return file
        }
        // Beginning right where the gate is, and against the order that they have.
        let numbers = files.map(\.raw).sorted(by: >)
        let script = "for fd in \(numbers.map(String.init).joined(separator: " ")); do cat /proc/self/fd/$fd; done"
        let process = try GatedProcess(
            Program(
                path: "/bin/sh",
                arguments: ["-c", "\(script); ls /proc/self/fd | wc -l"],
                environment: ["PATH=/usr/bin:/bin"],
                inherited: files,
                output: output
            ),
            numbers: numbers
        )
        try process.open()
        #expect(try await end(of: process) == .exited(code: 0))
        // Besides, standard input, output and error, and the directory that is listed.
        #expect(try text == "01234567891011\(files.count + 4)\n")
    }

    /// The child's memory files are found by their names, and what it has of one is the file itself.
    @Test func descriptorsAreFetched() async throws {
        let file = try MemoryFile.create("kept", size: 4096, growth: .fixed)
        let others = [
            try MemoryFile.create("twice", growth: .allowed), try MemoryFile.create("twice", growth: .allowed),
        ]
        let (ours, theirs) = try UnixSocket.pair()
        let process = try gated("/bin/sleep", ["infinity"], inherited: [file] + others + [theirs])
        defer { try? process.handle.kill() }
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        let found = try process.handle.memoryFiles()
        #expect(found["kept"] == [file.raw])
        #expect(found["twice"]?.sorted() == others.map(\.raw).sorted())
        #expect(found["output"]?.sorted() == [1, 2])
        let fetched = try process.handle.fetch(file.raw)
        #expect(try fetched.identity() == file.identity())
        try fetched.write([7], at: 0)
        #expect(try file.read(at: 0, count: 1) == [7])
        let socket = try process.handle.fetch(theirs.raw)
        #expect(try UnixSocket.send([1], to: socket) == 1)
        guard case .bytes([1], _) = try UnixSocket.receive(from: ours) else {
            Issue.record("nothing came")
            return
        }
        #expect(throws: SystemCallError.self) { try process.handle.fetch(999) }
        try process.handle.kill()
        _ = try await end(of: process)
        #expect(throws: SystemCallError.self) { try process.handle.memoryFiles() }
    }

    @Test func endsWithItsGate() async throws {
        var process: GatedProcess? = try gated("/bin/sh", ["-c", "echo ran"])
        let handle = try #require(process).handle
        process = nil
        try await loop.readable(handle.descriptor, deadline: Self.deadline)
        #expect(handle.reap() == .exited(code: 0))
        #expect(try text.isEmpty)
    }

    @Test(arguments: [("/nonexistent", ENOENT), ("/etc/passwd", EACCES), ("/", EACCES)])
    func whatCannotBeExecuted(path: String, code: Int32) async throws {
        let process = try gated(path)
        try process.open()
        try await loop.readable(process.execResult, deadline: Self.deadline)
        #expect(throws: SystemCallError("execve", on: path, code: code)) { try process.checkExecuted(path: path) }
        #expect(try await end(of: process) == .exited(code: 127))
    }

    @Test func onlyWhatIsInheritedIsOpen() async throws {
        let (first, second) = try UnixSocket.pair()
        let file = try MemoryFile.create("inherited", growth: .allowed)
        // Not close-on-exec, as a descriptor that another library has opened.
        let stray = Descriptor(owning: dup(first.raw))
        #expect(fcntl(stray.raw, F_GETFD) & FD_CLOEXEC == 0)
        #expect(
            try await shell("for fd in /proc/self/fd/*; do echo ${fd##*/}; done", inherited: [second, file])
                == .exited(code: 0)
        )
        let open = Set(try text.split(separator: "\n").compactMap { Int32($0) })
        // The shell holds the directory open while it lists it.
        let listing = open.subtracting([0, 1, 2, second.raw, file.raw])
        #expect(open.isSuperset(of: [0, 1, 2, second.raw, file.raw]))
        #expect(listing.count <= 1)
        #expect(!listing.contains(first.raw) && !listing.contains(stray.raw))
        // In this process nothing has changed.
        #expect(fcntl(second.raw, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func environmentAndStandardDescriptors() async throws {
        #expect(try await shell("env; readlink /proc/self/fd/0; echo error >&2") == .exited(code: 0))
        let lines = try text.split(separator: "\n")
        #expect(lines.contains("ONLY=this") && lines.contains("/dev/null") && lines.contains("error"))
        #expect(!lines.contains { $0.hasPrefix("HOME=") })
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func confinedIsSomebodyElse() async throws {
        let file = try MemoryFile.create("inherited", growth: .allowed)
        let script = """
            grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs):' /proc/self/status | tr '\\t' ' '
            ls /run | wc -l; grep -c : /proc/net/dev; ulimit -c
            echo written >/proc/self/fd/\(file.raw)
            touch /tmp/file-of-nobody 2>/dev/null || echo read-only
            """
        let process = try gated(
            "/bin/sh",
            ["-c", script],
            inherited: [file],
            confinement: Confinement(user: 0x7000_0000, groups: [12_345])
        )
        try process.open()
        #expect(try await end(of: process) == .exited(code: 0))
        let number = "1879048192"
        #expect(
            try text == """
                Uid: \(Array(repeating: number, count: 4).joined(separator: " "))
                Gid: \(Array(repeating: number, count: 4).joined(separator: " "))
                Groups: 12345\u{20}
                CapPrm: 0000000000000000
                CapEff: 0000000000000000
                NoNewPrivs: 1
                0
                1
                0
                read-only

                """
        )
        #expect(String(decoding: try file.read(at: 0, count: 100), as: UTF8.self) == "written\n")
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func mayBeLeftToLockMemoryAndNothingElse() async throws {
        var confinement = Confinement(user: 0x7000_0000)
        confinement.locksMemory = true
        let process = try gated("/bin/grep", ["-E", "^Cap(Eff|Prm):", "/proc/self/status"], confinement: confinement)
        try process.open()
        #expect(try await end(of: process) == .exited(code: 0))
        #expect(try text == "CapPrm:\t0000000000004000\nCapEff:\t0000000000004000\n")
    }

    @Test func signalsAreAsAtTheBeginning() async throws {
        var blocked = sigset_t()
        var before = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGUSR2)
        let old = signal(SIGURG, SIG_IGN)
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        let process = try gated("/bin/cat", ["/proc/self/status"])
        pthread_sigmask(SIG_SETMASK, &before, nil)
        signal(SIGURG, old)
        try process.open()
        #expect(try await end(of: process) == .exited(code: 0))
        // Signals 32 and 33 are the C library's own; nothing can set what it was started with for them.
        let settable = ~UInt64(0b11 << 31)
        for mask in ["SigBlk", "SigIgn", "SigCgt"] {
            let line = try #require(try text.split(separator: "\n").first { $0.hasPrefix("\(mask):\t") })
            let value = try #require(UInt64(line.dropFirst(mask.count + 2), radix: 16))
            #expect(value & settable == 0, "\(line)")
        }
    }

    @Test func hasASessionOfItsOwn() async throws {
        let process = try gated("/bin/cat", ["/proc/self/stat"])
        try process.open()
        #expect(try await end(of: process) == .exited(code: 0))
        let fields = try text.split(separator: " ")
        // pid (comm) state ppid pgrp session
        #expect(fields[4] == "\(process.handle.pid)" && fields[5] == "\(process.handle.pid)")
    }

    @Test func startTimeNamesTheProcess() async throws {
        let process = try gated("/bin/cat")
        let handle = process.handle
        #expect(handle.startTime > 0)
        #expect(try ProcessHandle(pid: handle.pid, startTime: handle.startTime).startTime == handle.startTime)
        for wrong in [handle.startTime - 1, handle.startTime + 1, 0] {
            let error = #expect(throws: SystemCallError.self) { try ProcessHandle(pid: handle.pid, startTime: wrong) }
            #expect(error?.code == ESRCH)
        }
        try handle.kill()
        try await loop.readable(handle.descriptor, deadline: Self.deadline)
        #expect(handle.reap() == .killed(signal: SIGKILL))
        // It has ended and been reaped: killing it again does nothing, and it is not found.
        try handle.kill()
        #expect(handle.reap() == .unknown)
        #expect(throws: SystemCallError.self) { try ProcessHandle(pid: handle.pid, startTime: handle.startTime) }
    }

    @Test(arguments: [
        ("exit 0", ProcessHandle.End.exited(code: 0)), ("exit 255", .exited(code: 255)),
        ("kill -TERM $$", .killed(signal: SIGTERM)), ("kill -KILL $$", .killed(signal: SIGKILL)),
    ])
    func statuses(script: String, expected: ProcessHandle.End) async throws {
        #expect(try await shell(script) == expected)
    }

    @Test func othersHaveNoStatus() throws {
        let own = try ProcessHandle(pid: getpid())
        #expect(own.isRunning)
        #expect(try ProcessHandle(pid: getppid()).reap() == .unknown)
        for pid: Int32 in [0, -1, .max] { #expect(throws: SystemCallError.self) { try ProcessHandle(pid: pid) } }
    }
}
