import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Systemd

/// What follows when a guest is lost with its VM process.
extension GuestSupervisor {
    /// How long a dump may go on without any progress while systemd waits for this supervisor.
    private static let dumpPatience = Duration.seconds(60)

    /// QEMU alone knows where the guest sees which RAM. The same in every VM process of the guest.
    func noteMemoryMap(of vm: VMProcess) async throws {
        guard let ledger, ledger.memoryMap == nil else { return }
        do {
            let reply = try await vm.qmp.execute(
                HumanMonitorCommand(GuestMemoryMap.command),
                deadline: GuestSupervisor.answerDeadline
            )
            let map = try GuestMemoryMap.ranges(from: reply, blocks: ledger.hardware.ram)
            try record { $0.memoryMap = map }
        } catch let error as GuestMemoryMap.Unreadable {
            // Only a dump needs it.
            if definition?.crash.dump == true { journal(.definitionWarning("Dump=yes has no effect: \(error)")) }
        }
    }

    func dumpMemory() async throws {
        guard let ledger, let policy = definition?.crash, policy.dump, ledger.dump == nil else { return }
        // Where one is left, it must not go on writing to RAM.
        for vm in [current, next, previous].compactMap({ $0 }) { try await kill(vm) }
        guard let ranges = ledger.memoryMap else {
            throw Lifecycle.Failure("where the guest had which RAM is not known, so none of it is kept")
        }
        let files = ledger.hardware.memoryBlocks.compactMap { block in
            inventory[Inventory.ram(block.id)].map { (block.id, $0) }
        }
        let dump = MemoryDump(
            guest: name,
            directory: policy.dumpDirectory,
            retain: policy.dumpRetain,
            ranges: ranges,
            files: Dictionary(uniqueKeysWithValues: files),
            note: "RAM of guest '\(name)' by guest-physical addresses, without CPU registers. \(lossReason)"
        )
        let patience = "EXTEND_TIMEOUT_USEC=\(GuestSupervisor.dumpPatience.microseconds)"
        Notifier.send(patience)
        let result = try await BlockingCalls.run {
            var told = ContinuousClock.now
            return try dump.write(time: time(nil)) { _ in
                guard .now - told > .seconds(1) else { return }
                Notifier.send(patience)
                told = .now
            }
        }
        try record { $0.dump = result.path }
        journal(.dumped(result))
    }

    /// A guest that is lost again and again is not booted for ever.
    func admitRestart() async throws {
        guard let policy = definition?.crash else { throw Lifecycle.Failure("its definition can't be read") }
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        let now = time.tv_sec
        restarts = restarts.filter { now - $0 < policy.restartInterval.microseconds / 1_000_000 }
        guard restarts.count < policy.restartBurst else {
            throw Lifecycle.Failure(
                "it was started anew \(restarts.count) times within \(policy.restartInterval); "
                    + "see [Crash] RestartLimitBurst= and RestartLimitIntervalSec="
            )
        }
        restarts.append(now)
        journal(.startingAnew(number: restarts.count, of: policy.restartBurst))
        try await forgetGuest()
    }
}
