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
        case "RESET": noteReboot(in: vm)
        case "DEVICE_DELETED":
            if let device = try? event.data(as: DeletedDevice.self).device { noteUnplugged(device, from: vm) }
        case "WATCHDOG":
            let action = (try? event.data(as: WatchdogData.self).action) ?? ""
            journal(.watchdogFired(action: ForeignText.printable(action)))
        case "DUMP_COMPLETED":
            vm.dumpFailure = (try? event.data(as: DumpData.self).error).flatMap { $0.map { "\($0)" } }
        case "GUEST_PANICKED": journal(.guestPanicked)
        default: break
        }
    }

    private struct DeletedDevice: Decodable {
        /// Absent for what has no ID.
        let device: String?
    }

    private struct DumpData: Decodable {
        let error: Words?
    }

    private struct WatchdogData: Decodable {
        let action: String
    }

    /// A guest that reboots sets its devices up anew.
    private func noteReboot(in vm: VMProcess) {
        guard vm === current, let ledger, ledger.bootedIn != vm.record.version else { return }
        // Without it a handover is tried, and undone.
        try? record { $0.bootedIn = vm.record.version }
    }

    func notePowerOff(of vm: VMProcess) {
        vm.isPoweredOff = true
        wakePowerOffWaiter()
        if vm === current { post(.poweredOff) }
    }
}
