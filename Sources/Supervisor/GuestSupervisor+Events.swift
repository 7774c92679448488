import GuestDefinition
import Lifecycle
import Linux
import QMP

extension GuestSupervisor {
    private struct ShutdownData: Decodable {
        let reason: String
    }

    /// Why QEMU shuts down when the guest itself wanted it, by the guest's own will or after its button was pressed.
    private static let guestReasons: Set<String> = ["guest-shutdown", "host-qmp-system-powerdown"]

    func received(_ event: QMPEvent, from generation: Int) {
        guard let vm = [current, next, previous].compactMap({ $0 }).first(where: { $0.generation == generation }) else {
            return
        }
        switch event.name {
        case "STOP": vm.stoppedAt = event.timestamp
        case "RESUME": vm.resumedAt = event.timestamp
        case "SHUTDOWN":
            let reason = (try? event.data(as: ShutdownData.self).reason) ?? ""
            if GuestSupervisor.guestReasons.contains(reason) { notePowerOff(of: vm) }
        default: break
        }
    }

    func notePowerOff(of vm: VMProcess) {
        vm.isPoweredOff = true
        wakePowerOffWaiter()
        if vm === current { post(.poweredOff) }
    }

    /// Takes the console's bytes off the socket. They are kept in the log that QEMU writes itself, so that none is lost
    /// or doubled when this process dies; a socket that is full makes the guest wait.
    func drainConsole(of vm: VMProcess) {
        guard let socket = inventory[Inventory.console(vm.generation)] else { return }
        let pid = vm.record.pid
        vm.consoleWatch = loop.whenReadable(socket) { [weak self] in
            self?.assumeIsolated { $0.takeConsole(from: socket, of: pid) }
        }
    }

    private func takeConsole(from socket: Descriptor, of pid: Int32) {
        // Bounded, so that a guest that floods its console does not keep the loop from everything else.
        for _ in 0..<16 {
            switch try? UnixSocket.receive(from: socket) {
            case .bytes: continue
            // Left alone, the end of the stream would be readable for ever.
            case .endOfStream, nil: processes[pid]?.consoleWatch = nil
            case .nothingYet: break
            }
            break
        }
        trimConsole()
    }

    /// Gives back what lies further behind than [Console] Retain= says.
    private func trimConsole() {
        let retain = definition?.consoleRetain ?? 1 << 20
        guard let log = inventory[Inventory.consoleLog], let size = try? log.size() else { return }
        guard size > consoleTrimmedTo + retain + retain / 4 else { return }
        let keepFrom = (size - retain) / 4096 * 4096
        if (try? MemoryFile.discard(log, first: keepFrom)) != nil { consoleTrimmedTo = keepFrom }
    }
}
