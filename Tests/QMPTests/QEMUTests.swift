import Glibc
import Linux
import Testing

@testable import QMP

struct QEMUTests {
    private static let path = "/usr/bin/qemu-system-x86_64"

    /// One supervisor after another talks over the same socket to a QEMU that lives on.
    @Test(.enabled(if: access(path, X_OK) == 0))
    func successiveClients() async throws {
        let (ours, theirs) = try UnixSocket.pair()
        let loop = EventLoop(label: "qemu-test")
        let process = try GatedProcess(
            Program(
                path: Self.path,
                arguments: [
                    "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S",
                    "-chardev", "socket,id=qmp,fd=\(theirs.raw),server=off", "-mon", "chardev=qmp,mode=control",
                ],
                environment: ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"],
                inherited: [theirs],
                output: try MemoryFile.create("output", size: 65_536, growth: .fixed)
            )
        )
        let end = Result { try process.open() }
        do {
            try end.get()
            try await loop.readable(process.execResult, deadline: FakeMonitor.deadline)
            try process.checkExecuted(path: Self.path)

            let first = QMPClient(socket: ours, loop: loop)
            try await first.negotiate(deadline: FakeMonitor.deadline)
            let version = try await first.execute(QueryVersion(), deadline: FakeMonitor.deadline)
            #expect(version.qemu.major >= 7)
            await first.close()

            // Killed in the middle of a command, with a reply unread.
            let unfinished = Array(#"{"execute": "query-status", "id": "old"} {"execute": "query-"#.utf8)
            #expect(try UnixSocket.send(unfinished[...], to: ours) == unfinished.count)
            try await loop.readable(ours, deadline: FakeMonitor.deadline)
            _ = try UnixSocket.receive(from: ours, limit: 7)

            let second = QMPClient(socket: ours, loop: loop)
            try await second.negotiate(deadline: FakeMonitor.deadline)
            let status = try await second.execute(QueryStatus(), deadline: FakeMonitor.deadline)
            #expect(status.status == .prelaunch)
            try await second.execute(Quit(), deadline: FakeMonitor.deadline)
            try await loop.readable(process.handle.descriptor, deadline: FakeMonitor.deadline)
            #expect(process.handle.reap() == .exited(code: 0))
        } catch {
            try process.handle.kill()
            try await loop.readable(process.handle.descriptor, deadline: FakeMonitor.deadline)
            _ = process.handle.reap()
            throw error
        }
    }
}
