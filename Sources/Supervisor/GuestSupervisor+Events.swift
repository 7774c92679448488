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
        case "STOP":
            vm.stoppedAt = event.timestamp
            vm.stops += 1
            // Nobody has asked for it where the guest is said to run: a save, say, that a QEMU carried out long after
            // it was told, and after the guest was continued.
            vm.isStopped = true
            seeThatItRuns()
        case "RESUME":
            vm.resumedAt = event.timestamp
            vm.isStopped = false
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

    /// How long the console's log may grow before it is looked at again, so that a guest that floods its console does
    /// not keep the loop from everything else.
    private static let consoleRest = Duration.seconds(1)

    /// Gives back what lies further behind than [Console] Retain= says, now and whenever the guest has written more.
    func trimConsole() {
        guard consoleWatch == nil, consoleTimer == nil, let log = inventory[Inventory.consoleLog],
            let writes = try? FileWatch.writes(to: log)
        else { return }
        consoleWatch = loop.whenReadable(writes.descriptor) { [weak self] in
            self?.assumeIsolated { $0.restFromConsole() }
        }
        let retain = definition?.consoleRetain ?? 1 << 20
        // Looked at only after the watch is there: what is written in between is not missed.
        guard let size = try? log.size(), size > consoleTrimmedTo + retain + retain / 4 else { return }
        let keepFrom = (size - retain) / 4096 * 4096
        if (try? MemoryFile.discard(log, first: keepFrom)) != nil { consoleTrimmedTo = keepFrom }
    }

    private func restFromConsole() {
        consoleWatch = nil
        consoleTimer = loop.after(GuestSupervisor.consoleRest) { [weak self] in
            self?.assumeIsolated { supervisor in
                supervisor.consoleTimer = nil
                supervisor.trimConsole()
            }
        }
    }
}
