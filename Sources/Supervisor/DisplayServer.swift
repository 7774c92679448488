import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP

/// Where VNC clients connect. Each connection is handed to the guest's VM process, and ends with that: the next one does
/// not know what the client has seen.
final class DisplayServer {
    private let path: String
    private let listener: Descriptor
    private var watch: ReadWatch?
    private var number = 0

    init(path: String, supervisor: GuestSupervisor, loop: EventLoop) throws {
        self.path = path
        listener = try UnixSocket.listen(path, mode: 0o600)
        watch = loop.whenReadable(listener) { [weak supervisor] in
            supervisor?.assumeIsolated { supervisor in supervisor.display?.accept(supervisor) }
        }
    }

    func close() {
        watch = nil
        unlink(path)
    }

    private func accept(_ supervisor: isolated GuestSupervisor) {
        while let socket = try? UnixSocket.accept(listener) {
            guard let user = try? UnixSocket.peerUser(socket), user == 0 || user == geteuid() else { continue }
            number += 1
            supervisor.show(on: socket, number)
        }
    }
}

extension GuestSupervisor {
    func openDisplay() {
        guard display == nil, ledger?.hardware.single.display == true, case .standing(.running) = lifecycle.state
        else { return }
        do {
            display = try DisplayServer(path: "\(runtimeDirectory)/vnc", supervisor: self, loop: loop)
        } catch {
            journal(.channelFailed("the guest's screen", "\(error)"))
        }
    }

    func closeDisplay() {
        display?.close()
        display = nil
    }

    /// While the guest is paused or handed over nobody is let in: it would be for a moment only.
    fileprivate func show(on socket: Descriptor, _ number: Int) {
        guard let current, case .standing(.running) = lifecycle.state else { return }
        loop.spawn {
            let name = "vnc.\(number)"
            let deadline = GuestSupervisor.answerDeadline
            do {
                try await current.qmp.execute(GetDescriptor(name: name), passing: socket, deadline: deadline)
                try await current.qmp.execute(AddDisplayClient(descriptor: name), deadline: deadline)
            } catch {
                journal(.channelFailed("the guest's screen", "\(error)"))
            }
        }
    }
}
