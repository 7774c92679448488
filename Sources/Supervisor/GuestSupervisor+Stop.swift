import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Systemd

/// Ending VM processes and guests.
extension GuestSupervisor {
    /// How often a guest that is to power off is looked at and its button pressed again: one that is still booting
    /// does not notice the first time.
    private static let powerDownInterval = Duration.seconds(5)

    func powerDown() async throws {
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        if current.isPoweredOff { return }
        try await current.qmp.execute(SystemPowerdown(), deadline: GuestSupervisor.answerDeadline)
    }

    /// Returns when the guest is off. It is given up when it has shown no progress for as long as [Stop] TimeoutSec=
    /// says, or has taken LimitSec= in all.
    func awaitPowerOff() async throws {
        guard let current else { return }
        let policy = definition?.stop ?? StopPolicy()
        let patience = policy.timeout
        let limit = ContinuousClock.now + policy.limit
        let begin = await self.progress(of: current)
        var progress = begin
        var giveUp = ContinuousClock.now + patience
        while !current.isPoweredOff && current.end == nil {
            guard limit > .now else {
                throw Lifecycle.Failure(
                    "the guest has not powered off within \(policy.limit); where it needs longer, raise LimitSec= in [Stop]"
                )
            }
            let left = min(giveUp, limit) - .now
            guard left > .zero else {
                throw Lifecycle.Failure("the guest has not powered off, and has shown no progress for \(patience)")
            }
            let nap = min(left, GuestSupervisor.powerDownInterval)
            Notifier.send("EXTEND_TIMEOUT_USEC=\((nap + GuestSupervisor.killDeadline * 2).microseconds)")
            await powerOffOrTimer(nap)
            if current.isPoweredOff || current.end != nil { return }
            let now = await self.progress(of: current).limited(since: begin)
            if now != progress { giveUp = .now + patience }
            progress = now
            _ = try? await current.qmp.execute(SystemPowerdown(), deadline: GuestSupervisor.answerDeadline)
        }
    }

    /// A guest that shuts down writes to its console or to its disks.
    private func progress(of vm: VMProcess) async -> PowerOffProgress {
        let console = (try? inventory[Inventory.consoleLog]?.size()) ?? 0
        let devices = try? await vm.qmp.execute(QueryBlockStatistics(), deadline: GuestSupervisor.answerDeadline)
        return PowerOffProgress(
            console: console,
            disks: (devices ?? []).flatMap {
                [$0.stats.readOperations, $0.stats.writeOperations, $0.stats.flushOperations]
            }
        )
    }

    private func powerOffOrTimer(_ delay: Duration) async {
        let timer = loop.after(delay) { [weak self] in self?.assumeIsolated { $0.wakePowerOffWaiter() } }
        await withCheckedContinuation { powerOffWaiter = $0 }
        timer.cancel()
    }

    func wakePowerOffWaiter() {
        powerOffWaiter?.resume()
        powerOffWaiter = nil
    }

    /// Ends the guest's VM process so that its disks' images are closed in order.
    func endCurrent() async throws {
        guard let vm = current else { return }
        vm.isEnding = true
        _ = try? await vm.qmp.execute(Quit(), deadline: GuestSupervisor.answerDeadline)
        if await !hasEnded(vm, within: GuestSupervisor.answerDeadline) { try await kill(vm) }
        try await endTPM(of: vm)
        current = nil
        try await unstoreEnds(of: vm.generation)
    }

    func emptyStore() async throws {
        for vm in [current, next, previous].compactMap({ $0 }) { try await kill(vm) }
        (current, next, previous) = (nil, nil, nil)
        await finishConsole()
        (consoleWatch, consoleTimer, consoleTrimmedTo) = (nil, nil, 0)
        closeAgentChannel()
        closeDisplay()
        control?.dropConsoles()
        try await unstore(inventory.names.filter { $0 != Inventory.ledger })
        await removeInterfaces()
    }

    /// After this a supervisor that is started by a crash of this one boots the guest anew.
    func forgetGuest() async throws {
        (ledger, ledgerFile) = (nil, nil)
        try await unstore([Inventory.ledger])
    }

    // MARK: Processes

    func watchEnd(of vm: VMProcess) {
        let pid = vm.record.pid
        processes[pid] = vm
        vm.exitWatch = loop.whenReadable(vm.handle.descriptor) { [weak self] in
            self?.assumeIsolated { $0.ended(pid) }
        }
    }

    private func ended(_ pid: Int32) {
        guard let vm = processes.removeValue(forKey: pid) else { return }
        vm.exitWatch = nil
        try? vm.tpm?.handle.kill()
        // Of one that is ended by us nothing is to be found out, and a guest may wait for its end.
        if vm.isEnding { return sawEnd(vm.handle.reap(), of: vm) }
        loop.spawn { self.sawEnd(await vm.handle.end(self.loop), of: vm) }
    }

    private func sawEnd(_ end: ProcessHandle.End, of vm: VMProcess) {
        vm.end = end
        finishOutput(of: vm)
        for waiting in vm.whenEnded { waiting.resume() }
        vm.whenEnded = []
        wakePowerOffWaiter()
        guard vm === current, !vm.isEnding else { return }
        let words = vm.output?.lastWords.map { "; QEMU said: \($0)" } ?? ""
        post(.vmProcessEnded(reason: "\(vm.title) \(vm.end ?? .unknown)\(words)"))
    }

    /// Kills a process and returns when nothing is left of it.
    func kill(_ vm: VMProcess) async throws {
        vm.isEnding = true
        // First: with the VM process it would end in order, and nothing may be written to the guest's TPM from now on.
        try await endTPM(of: vm)
        try vm.handle.kill()
        guard await hasEnded(vm, within: GuestSupervisor.killDeadline) else {
            throw Lifecycle.Failure("\(vm.title) does not end, although it was killed")
        }
        await vm.qmp.close()
    }

    func hasEnded(_ vm: VMProcess, within deadline: Duration) async -> Bool {
        if vm.end != nil { return true }
        let pid = vm.record.pid
        let timer = loop.after(deadline) { [weak self] in self?.assumeIsolated { $0.giveUpWaiting(for: pid) } }
        await withCheckedContinuation { vm.whenEnded.append($0) }
        timer.cancel()
        return vm.end != nil
    }

    private func giveUpWaiting(for pid: Int32) {
        guard let vm = processes[pid] else { return }
        for waiting in vm.whenEnded { waiting.resume() }
        vm.whenEnded = []
    }
}

/// How far a guest has come with its power-off, as far as that is seen from outside.
struct PowerOffProgress: Equatable, Sendable {
    /// Bytes.
    var console: UInt64
    /// Operations.
    var disks: [UInt64] = []

    /// More than a system that shuts down says. A guest that goes on has other things to say, and would be waited for
    /// as long as it says them.
    static let mostConsole: UInt64 = 256 << 10

    func limited(since begin: PowerOffProgress) -> PowerOffProgress {
        let said = console > begin.console ? console - begin.console : 0
        return PowerOffProgress(console: begin.console + min(said, PowerOffProgress.mostConsole), disks: disks)
    }
}
