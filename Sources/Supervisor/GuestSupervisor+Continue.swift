import GuestDefinition
import Lifecycle
import Linux
import QMP

/// Making the guest run, also where its VM process is slow to answer.
extension GuestSupervisor {
    /// How long the answer of a VM process that is overdue is waited for before it is asked once more: a monitor that
    /// is not read holds only so many commands.
    private static let overdueInterval = Duration.seconds(600)

    /// A longer pause is none: deadlines end a handover long before.
    private static let longestPause: Int64 = 3_600_000_000

    func continueGuest() async throws {
        guard let vm = current else { throw Lifecycle.Failure("the guest has no VM process to continue in") }
        guard vm.handle.isRunning else {
            // It was never told, and so has run nothing. The lifecycle must have heard of its end when this fails.
            _ = await hasEnded(vm, within: GuestSupervisor.killDeadline)
            throw Lifecycle.Failure("\(vm.title) had ended before it was to continue the guest")
        }
        if ledger?.isPaused == true {
            // It is the guest's, and stays as it is.
            if ledger?.phase.isCommitted != true { _ = try await finishSaving(vm) }
            trimConsole()
            return await openConsoleInput(of: vm)
        }
        var mayBeSaving = false
        do {
            // After a commit nothing can be left of a save, and the guest waits.
            if ledger?.phase.isCommitted != true { mayBeSaving = try await !finishSaving(vm) }
            if ledger?.phase == .committed { try record { $0.phase = .continuing } }
            try await vm.qmp.execute(Continue(), deadline: timeouts.resume)
        } catch let error as QMPError {
            let reason = await explain(error, vm)
            if case .refused = error, !mayBeSaving {
                if ledger?.phase == .continuing { try record { $0.phase = .committed } }
                throw Lifecycle.Failure(reason)
            }
            isContinueOverdue = true
            throw Lifecycle.Failure(reason, kind: .outcomeUnknown)
        }
        trimConsole()
        notePause()
        await openConsoleInput(of: vm)
    }

    /// Whether no save is under way any more, as far as is known. A VM process that does not answer may still be
    /// carrying out a stop: it must be told to continue all the same, for it does what it is told in order.
    private func finishSaving(_ vm: VMProcess) async throws -> Bool {
        do {
            try await vm.finishSaving(deadline: timeouts.save)
            return true
        } catch QMPError.timedOut {
            return false
        }
    }

    private func notePause() {
        guard let current, let stopped = (previous ?? current).stoppedAt, let resumed = current.resumedAt else {
            return
        }
        (previous ?? current).stoppedAt = nil
        // Two clocks that two VM processes have set as they like.
        let (pause, overflow) = resumed.subtractingReportingOverflow(stopped)
        let isPlausible = !overflow && (0...GuestSupervisor.longestPause).contains(pause)
        let microseconds = isPlausible ? Int(pause) : nil
        if isRehearsing { rehearsal?.pause = microseconds ?? 0 } else { ledger?.lastPause = microseconds }
    }

    /// Where there is doubt, waits until the guest's VM process answers, and has the guest continued if it is paused
    /// then: what the VM process was told while it was silent may have ended so.
    func seeThatItRuns() {
        guard let vm = current, isContinueOverdue || vm.isStopped, !vm.isBeingAsked, !lifecycle.isPaused,
            case .standing(.running) = lifecycle.state
        else { return }
        vm.isBeingAsked = true
        loop.spawn {
            await ask(vm)
            vm.isBeingAsked = false
        }
    }

    private func ask(_ vm: VMProcess) async {
        while vm === current {
            isContinueOverdue = false
            let stops = vm.stops
            do {
                let status = try await vm.qmp.execute(QueryStatus(), deadline: GuestSupervisor.overdueInterval)
                if vm === current, status.status.canBeContinued { return foundPaused() }
                // Stopped by the guest's own doing, if at all: a disk that is full, a crash of its kernel.
                if vm.stops == stops { vm.isStopped = false }
                if case .standing(.running) = lifecycle.state { await openConsoleInput(of: vm) }
                if !isContinueOverdue, !vm.isStopped { return }
            } catch QMPError.timedOut {
                continue
            } catch {
                return
            }
        }
    }

    private func foundPaused() {
        guard case .standing(.running) = lifecycle.state else {
            // Looked at again once the operation has ended.
            isContinueOverdue = true
            return
        }
        post(.foundPaused)
    }
}

/// What a person wants done to the guest at once.
extension GuestSupervisor {
    func pauseGuest() async throws {
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        try await current.qmp.execute(Stop(), deadline: timeouts.stop)
        if current.isPoweredOff { throw Lifecycle.Failure("the guest has powered itself off") }
        // No handover's pause.
        current.stoppedAt = nil
    }

    /// Throws unless the guest's VM process says itself that it has the guest as it is to be.
    func prove() async throws(Refusal) {
        guard case .standing(.running) = lifecycle.state, let current else {
            throw Refusal("the guest is not running", isNotRunning: true)
        }
        do {
            let deadline = GuestSupervisor.answerDeadline
            let status = try await current.qmp.execute(QueryStatus(), deadline: deadline).status
            if lifecycle.isPaused ? status.canBeContinued : status == .running { return }
            throw Refusal("\(current.title) has the guest in QEMU's state '\(status)'")
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal("\(current.title) does not answer: \(error)")
        }
    }

    func resetGuest() async throws {
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        try await current.qmp.execute(SystemReset(), deadline: GuestSupervisor.answerDeadline)
    }
}

extension RunState {
    /// Nothing is executed, and `cont` is all it takes.
    var canBeContinued: Bool { [.paused, .prelaunch, .postmigrate, .finishMigrate].contains(self) }
}
