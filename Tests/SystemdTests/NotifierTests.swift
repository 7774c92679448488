import Foundation
import Linux
import Testing

@testable import Systemd

/// In processes of their own, since the environment is a process's. What needs a manager is tested on booted systems.
struct NotifierTests {
    @Test func withoutAManager() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            unsetenv("WATCHDOG_USEC")
            precondition(!Notifier.isAvailable)
            precondition(Notifier.watchdogInterval == nil)
            Notifier.send("READY=1")
            let none = try DescriptorStore.receive()
            precondition(none.isEmpty)
        }
    }

    @Test func assignmentsAreLines() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            precondition(Notifier.isAvailable)
            Notifier.send("READY=1", "STATUS=Läuft")
            precondition(socket.next().text == "READY=1\nSTATUS=Läuft")
        }
    }

    @Test func watchdog() async {
        await #expect(processExitsWith: .success) {
            setenv("WATCHDOG_USEC", "3000000", 1)
            precondition(Notifier.watchdogInterval == .seconds(3))
            setenv("WATCHDOG_PID", "\(getpid())", 1)
            precondition(Notifier.watchdogInterval == .seconds(3))
            // Another process's watchdog.
            setenv("WATCHDOG_PID", "1", 1)
            precondition(Notifier.watchdogInterval == nil)
        }
    }

    /// Each descriptor with its name, unpolled, and a barrier after the last.
    @Test func store() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            let files = try ["ledger", "ram.main"].map { name in
                DescriptorStore.Entry(name: name, descriptor: try MemoryFile.create(name, growth: .allowed))
            }
            let storing = Thread { try? DescriptorStore.store(files, deadline: .seconds(20)) }
            storing.start()
            for file in files {
                let message = socket.next()
                precondition(message.text == "FDSTORE=1\nFDNAME=\(file.name)\nFDPOLL=0")
                precondition(message.descriptors.count == 1)
                let (passed, kept) = (try message.descriptors[0].identity(), try file.descriptor.identity())
                precondition(passed == kept)
            }
            let barrier = socket.next()
            precondition(barrier.text == "BARRIER=1" && barrier.descriptors.count == 1)
        }
    }

    @Test func remove() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            let removing = Thread { try? DescriptorStore.remove(["a", "b"], deadline: .seconds(20)) }
            removing.start()
            precondition(socket.next().text == "FDSTOREREMOVE=1\nFDNAME=a")
            precondition(socket.next().text == "FDSTOREREMOVE=1\nFDNAME=b")
            precondition(socket.next().text == "BARRIER=1")
        }
    }

    /// A manager that does not answer.
    @Test func barrierHasADeadline() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            do {
                try Notifier.barrier(deadline: .milliseconds(50))
                preconditionFailure("nobody has answered")
            } catch { precondition((error as? SystemCallError)?.code == ETIMEDOUT) }
            precondition(socket.next().text == "BARRIER=1")
        }
    }

    @Test func receivedDescriptors() async {
        await #expect(processExitsWith: .success) {
            let files = try ["a", "b"].map { try MemoryFile.create($0, size: 7, growth: .fixed) }
            let identities = try files.map { try $0.identity() }
            let high = files.map { fcntl($0.raw, F_DUPFD, 100) }
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDS", "2", 1)
            setenv("LISTEN_FDNAMES", "ram.main:ledger", 1)
            // The manager passes them from number 3 on. Something that this process needs may be there: it is away for as
            // short a time as can be, since Dispatch traps where it misses it.
            let numbers: [Int32] = [3, 4]
            let displaced = numbers.map { fcntl($0, F_DUPFD_CLOEXEC, 100) }
            for (raw, number) in zip(high, numbers) { precondition(dup2(raw, number) >= 0) }
            let entries = try DescriptorStore.receive()
            let received = try entries.map { try $0.descriptor.identity() }
            let areClosedOnExec = entries.allSatisfy { fcntl($0.descriptor.raw, F_GETFD) & FD_CLOEXEC != 0 }
            for (raw, number) in zip(displaced, numbers) where raw >= 0 { dup2(raw, number) }
            precondition(entries.map(\.name) == ["ram.main", "ledger"])
            precondition(received == identities)
            precondition(areClosedOnExec)
            precondition(getenv("LISTEN_FDS") == nil)
            let none = try DescriptorStore.receive()
            precondition(none.isEmpty)
            // What stands at 3 and 4 was not opened here, so nothing here may close it afterwards.
            _exit(0)
        }
    }

    /// Meant for another process.
    @Test func descriptorsOfOthers() async {
        await #expect(processExitsWith: .success) {
            setenv("LISTEN_PID", "1", 1)
            setenv("LISTEN_FDS", "2", 1)
            let none = try DescriptorStore.receive()
            precondition(none.isEmpty)
        }
    }
}

/// Plays the manager's end of $NOTIFY_SOCKET.
private struct NotifySocket {
    private let socket: Descriptor

    init() {
        let raw = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        precondition(raw >= 0)
        socket = Descriptor(owning: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // In the abstract namespace: nothing is left in any directory.
        let name = "perdure-notify-\(getpid())"
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.copyBytes(from: [0] + Array(name.utf8))
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.utf8.count)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, length) }
        }
        precondition(bound == 0)
        setenv("NOTIFY_SOCKET", "@\(name)", 1)
    }

    /// The next notification.
    func next() -> (text: String, descriptors: [Descriptor]) {
        var entry = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        precondition(poll(&entry, 1, 20_000) == 1)
        guard case .bytes(let bytes, let descriptors) = try? UnixSocket.receive(from: socket) else {
            preconditionFailure("no notification")
        }
        return (String(decoding: bytes, as: UTF8.self), descriptors)
    }
}
