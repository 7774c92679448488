import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Synchronization
import Systemd

/// From the running VM process to the next.
extension GuestSupervisor {
    /// More device state than this is no device state.
    static let largestState: UInt64 = 256 << 20

    /// Everything that can speak against the handover without a pause, and what can be prepared for it.
    func compare() async throws {
        guard let next, let ledger else { return }
        try await checkPreflight()
        try await next.prepareLoad(from: inventory[Inventory.state])
        guard ledger.phase == .running, let current else { return }
        if current.record.isForeign {
            let capabilities = SetMigrationCapabilities([.ignoreShared, .events])
            try await current.qmp.execute(capabilities, deadline: GuestSupervisor.answerDeadline)
        }
        try await current.prepareSave(to: inventory[Inventory.state])
    }

    /// The first pass writes what has gathered, the second what was written meanwhile: little is left for the pause.
    func syncDisks() async throws {
        let images = ledger?.hardware.writtenImages ?? []
        if images.isEmpty { return }
        // A thread that waits for a disk can't be ended: one is enough.
        guard syncing.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            throw Lifecycle.Failure("the disks' images are still being written out since the last attempt")
        }
        do {
            try await BlockingCalls.run(on: loop, deadline: timeouts.sync) { [self] in
                defer { syncing.store(false, ordering: .relaxed) }
                for image in images + images {
                    let file = try calls.open(image, O_RDONLY)
                    if fdatasync(file.raw) < 0 { throw SystemCallError("fdatasync", on: image) }
                }
            }
        } catch is EventLoop.DeadlinePassed {
            throw Lifecycle.Failure(
                "the disks' images were not written out within \(timeouts.sync); "
                    + "look for a disk or a file system that does not answer, or raise SyncTimeoutSec= in [Handover]"
            )
        }
    }

    func recordSaving() throws {
        try record {
            $0.phase = .saving
            // What 'vmstate' may still hold is of an earlier handover.
            $0.savedBytes = nil
        }
    }

    func stopGuest() async throws {
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        replaced = current.record
        if let next, !next.isThrowAway { try await moveNetworks(to: next) }
        try await closeConsoleInput(of: current)
        holdAgentChannel()
        try await current.qmp.execute(Stop(), deadline: timeouts.stop)
        // Its events come before the reply: a guest that has just powered off is not taken up again elsewhere.
        if current.isPoweredOff { throw Lifecycle.Failure("the guest has powered itself off") }
        // The next VM process was started with it.
        if let id = current.unplugged.first {
            throw Lifecycle.Failure("the guest has given up memory '\(id)'; try again")
        }
    }

    func saveState() async throws {
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        let bytes = try await current.save(into: inventory[Inventory.state], deadline: timeouts.save)
        guard bytes > 0, bytes <= GuestSupervisor.largestState else {
            throw Lifecycle.Failure("the saved device state has \(bytes) bytes, which can't be right")
        }
        try record { $0.savedBytes = bytes }
    }

    func loadState() async throws {
        guard let vm = next ?? current else { throw Lifecycle.Failure("no VM process waits for the device state") }
        if !vm.isThrowAway { try await moveNetworks(to: vm) }
        do {
            try await vm.load(from: inventory[Inventory.state], deadline: timeouts.load)
        } catch {
            let reason = await explain(error, vm)
            let refusal = rememberRefusal(error, by: vm, reason)
            throw Lifecycle.Failure(
                refusal?.sentence ?? "QEMU \(vm.record.version) does not take the guest's state: \(reason)"
            )
        }
    }

    /// The next VM process becomes the guest's. One that waits for a saved guest has been so since it was started.
    func recordNext(as phase: Recovery.Phase) throws {
        try checkAlive(next)
        if next?.isThrowAway == true { throw Lifecycle.Failure("a VM process of a rehearsal can't run the guest") }
        let (old, new) = (current, next)
        old?.hardware = ledger?.hardware
        try record {
            $0.phase = phase
            guard let new else { return }
            $0.setCurrent(new.record)
            if phase == .committed { $0.forgetRefusals(by: new.record) }
            $0.other = old?.record
            $0.hardware = new.hardware ?? $0.hardware
        }
        if let new { (previous, current, next) = (old, new, nil) }
    }

    func recordSaved() throws {
        let hasEnded = current == nil
        try record {
            $0.phase = .saved
            if hasEnded { $0.current = nil }
        }
    }

    func recordRunning() throws {
        if current == nil, let first = next {
            try checkAlive(first)
            // A start: the VM process has run nothing yet.
            try record {
                $0.phase = .running
                $0.setCurrent(first.record)
                $0.bootedIn = first.record.version
                $0.other = nil
            }
            (current, next) = (first, nil)
        } else {
            try record { $0.phase = .running }
        }
    }

    /// The end of a VM process that is not the guest's yet is nobody's event.
    private func checkAlive(_ vm: VMProcess?) throws {
        guard let vm, let end = vm.end else { return }
        throw Lifecycle.Failure("\(vm.title) \(end)")
    }

    func retirePrevious() async throws {
        guard let old = previous else { return }
        try await kill(old)
        previous = nil
        try record {
            $0.other = nil
            if $0.phase.isCommitted { $0.phase = .running }
        }
        if let current { await settleNetworks(on: current) }
        try await unstoreEnds(of: old.generation)
    }

    func takeBackCommit() throws {
        guard let old = previous else { return }
        let new = current
        try record {
            $0.phase = .loading
            $0.current = old.record
            $0.other = new?.record
            $0.hardware = old.hardware ?? $0.hardware
        }
        (current, next, previous) = (old, new, nil)
    }

    func endNext() async throws {
        guard let vm = next else { return }
        try await kill(vm)
        next = nil
        if ledger != nil { try record { $0.other = nil } }
        if let current { await settleNetworks(on: current) }
        try await unstoreEnds(of: vm.generation)
    }

    func discardState() throws {
        try record {
            $0.savedBytes = nil
            if $0.phase.isCommitted { $0.phase = .running }
        }
        guard let state = inventory[Inventory.state] else { return }
        try MemoryFile.resize(state, to: 0, name: Inventory.state)
    }

    /// How often systemd is told that this supervisor can't end yet.
    private static let retryInterval = Duration.seconds(10)

    /// The next supervisor replaces the VM process, too. Where it would not find everything in the store, this one
    /// stays until that has been mended: its end would be the end of what systemd does not keep.
    func recordRestart() async throws {
        try record { $0.isRestart = true }
        while true {
            do {
                return try await storeInventory()
            } catch {
                journal(.storeIncomplete("\(error)"))
                Notifier.send("STATUS=Can't make way for the next supervisor: \(error)")
            }
            let interval = GuestSupervisor.retryInterval
            Notifier.send("EXTEND_TIMEOUT_USEC=\((interval * 3).microseconds)")
            await reloadOrTimer(interval)
            if isStopWanted { throw Lifecycle.Failure("the unit is to be stopped instead") }
        }
    }

    private func reloadOrTimer(_ delay: Duration) async {
        let timer = loop.after(delay) { [weak self] in self?.assumeIsolated { $0.wakeReloadWaiter() } }
        await withCheckedContinuation { reloadWaiter = $0 }
        timer.cancel()
    }

    func wakeReloadWaiter() {
        reloadWaiter?.resume()
        reloadWaiter = nil
    }
}
