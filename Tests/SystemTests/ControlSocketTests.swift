import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct ControlSocketTests {
        @Test func socketIsItsOwnersAlone() async throws {
            try await withBootedSystem { system in
                try await makeUsers(on: system)
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.status().pid
                let modes = try await system.run([
                    "stat", "-c", "%a %U %G", "/run/perdure/web", "/run/perdure/web/control",
                ])
                #expect(modes.stdout == "711 root root\n660 root perdure\n")
                let path = system.hostPath("/run/perdure/web/control")

                try expectServiceInterface(path)
                try expectHarmless(path)
                try await expectMembersOnlyLook(guest)
                try await guest.expectGuestIntact(pid: pid)
                try expectServiceInterface(path)

                try await guest.systemctl("restart")
                #expect(try await system.run(["stat", "-c", "%a", "/run/perdure/web/control"]).stdout == "660\n")
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await system.run(["test", "-e", "/run/perdure/web/control"], check: false).status != 0)
            }
        }

        /// A member of the group `perdure`, and somebody else.
        private func makeUsers(on system: BootedSystem) async throws {
            try await system.run(["systemd-sysusers", "/usr/lib/sysusers.d/perdure.conf"])
            try await system.run(["useradd", "--groups", "perdure", "member"])
            try await system.run(["useradd", "stranger"])
        }

        private func expectMembersOnlyLook(_ guest: RunningGuest) async throws {
            let system = guest.system
            let before = try await guest.status()
            func perdure(as user: String, _ arguments: String...) async throws -> Output {
                try await system.run(
                    ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "perdure"] + arguments,
                    check: false
                )
            }
            let status = try await perdure(as: "member", "status", "web", "--json")
            #expect(status.status == 0 && status.stdout.contains(#""state":"running""#))
            for verb in ["upgrade", "save", "exec", "load"] {
                let output = try await perdure(as: "member", verb, "web")
                #expect(output.status == 1 && output.stderr.contains("is not for this user"), "\(verb): \(output)")
            }
            let stranger = try await perdure(as: "stranger", "status", "web")
            #expect(stranger.status == 1 && stranger.stderr.contains("members of the group 'perdure'"))
            #expect(try await guest.status().generation == before.generation)
        }

        private func expectServiceInterface(_ path: String) throws {
            let connection = try RawConnection(path)
            #expect(
                try connection.call("org.varlink.service.GetInfo").contains(#""interfaces":["org.varlink.service","#)
            )
            let description = try connection.call(
                "org.varlink.service.GetInterfaceDescription",
                #"{"interface":"io.perdure.Guest"}"#
            )
            #expect(description.contains("interface io.perdure.Guest"))
            let unknown = try connection.call(
                "org.varlink.service.GetInterfaceDescription",
                #"{"interface":"io.perdure.None"}"#
            )
            #expect(unknown.contains("org.varlink.service.InterfaceNotFound"))
            for method in ["io.perdure.Guest.Destroy", "io.perdure.None.GetStatus", "GetStatus", ""] {
                #expect(try connection.call(method).contains(#""error":"org.varlink.service.MethodNotFound""#))
            }
            #expect(try connection.call("io.perdure.Guest.GetStatus").contains(#""state":"running""#))
            let relative = try connection.call("io.perdure.Guest.Upgrade", #"{"qemu":"qemu"}"#)
            #expect(relative.contains("io.perdure.Guest.Refused"))
            let wrong = try connection.call("io.perdure.Guest.Upgrade", #"{"qemu":[1]}"#)
            #expect(wrong.contains("org.varlink.service.InvalidParameter"))
        }

        private func expectHarmless(_ path: String) throws {
            // What is no call ends the connection.
            for garbage in ["garbage\0", "\0", "[]\0", #"{"method":1}"# + "\0", "\u{1}\u{2}\0"] {
                let connection = try RawConnection(path)
                try connection.send(garbage)
                #expect(try connection.receiveToEnd() == "")
            }
            let endless = try RawConnection(path)
            try? endless.send(String(repeating: " ", count: 1 << 20))
            #expect(try endless.receiveToEnd() == "")
            // A half message, left alone and given up.
            let half = try RawConnection(path)
            try half.send(#"{"method":"io.perdure.Guest.Get"#)
            try RawConnection(path).send(#"{"method":"io.perdure.Guest.Save"}"#)

            var crowd: [RawConnection] = []
            for _ in 0..<100 { crowd.append(try RawConnection(path)) }
            let answers = crowd.filter { (try? $0.call("io.perdure.Guest.GetStatus"))?.contains("running") == true }
            #expect(answers.count > 1)
            #expect(answers.count < 100)
            crowd = []

            try half.send("Status\"}\0")
            #expect(try half.receive().contains(#""state":"running""#))
        }
    }
}

/// A connection to a socket, and nothing that it would do by itself.
final class RawConnection {
    private let socket: Int32

    init(_ path: String) throws {
        socket = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
        }
        guard result == 0 else { throw CommandFailure(description: "connect to '\(path)': errno \(errno)") }
        var deadline = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &deadline, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(socket) }

    func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard Foundation.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw CommandFailure(description: "send: errno \(errno)")
        }
    }

    /// One message, without its NUL byte; what has come at the end of the stream.
    func receive() throws -> String {
        var text: [UInt8] = []
        while let byte = try next(), byte != 0 { text.append(byte) }
        return String(decoding: text, as: UTF8.self)
    }

    func receiveToEnd() throws -> String {
        var text: [UInt8] = []
        while let byte = try next() { text.append(byte) }
        return String(decoding: text, as: UTF8.self)
    }

    func call(_ method: String, _ parameters: String = "{}") throws -> String {
        try send(#"{"method":"\#(method)","parameters":\#(parameters)}"# + "\0")
        return try receive()
    }

    private func next() throws -> UInt8? {
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, 0)
        if count > 0 { return byte }
        if count == 0 || errno == ECONNRESET { return nil }
        throw CommandFailure(description: "recv: errno \(errno)")
    }
}
