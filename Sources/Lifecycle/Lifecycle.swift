/// The life of one guest: which operation runs, what follows from a step's end, what is refused. Pure; the driver
/// carries the effects out in their order and reports back with events.
public struct Lifecycle: Hashable, Sendable {
    public typealias Ticket = Int

    public enum Event: Equatable, Sendable {
        /// What was found at the start has been judged.
        case recovered(Recovery.Decision, isRestart: Bool)
        case requested(Request, Ticket)
        case terminate(Termination)
        case completed(Step)
        case failed(Step, Failure)
        /// The guest's VM process has ended.
        case vmProcessEnded(reason: String)
        /// The guest has powered itself off; its VM process waits to be ended.
        case poweredOff
        /// The guest is paused, by a command that its VM process has carried out late.
        case foundPaused
    }

    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var reason: String
        public var kind: Kind

        public enum Kind: CaseIterable, Sendable {
            case refused
            /// The definition is at fault.
            case definition
            /// It can't be known whether the step took effect.
            case outcomeUnknown
            /// An earlier attempt has shown that it can't be done; this time nothing was tried.
            case known
        }

        public init(_ reason: String, kind: Kind = .refused) {
            self.reason = reason
            self.kind = kind
        }

        public var description: String { reason }
    }

    public enum Effect: Equatable, Sendable {
        case perform(Step)
        case reply(Ticket, Reply)
        case report(Report)
        /// The unit has started: the guest stands as it should, or the person has been told why not.
        case ready
        case exit(ExitStatus)
    }

    public enum Reply: Equatable, Sendable {
        case done
        case refused(Refusal)
        case failed(reason: String)
    }

    /// What is worth a line in the journal.
    public enum Report: Equatable, Sendable {
        case began(Operation)
        case finished(Operation)
        case undone(Operation, at: Step, reason: String)
        /// It has failed before, and was not tried again.
        case declined(Operation, reason: String)
        case wentOn(Operation, at: Step, reason: String)
        case adopted
        case stillSaved
        case stillWaiting
        case unclear(reason: String)
        case lost(reason: String)
        case vmProcessEnded(reason: String)
    }

    public enum ExitStatus: Int32, Sendable {
        case success = 0
        case failure = 1
        case definition = 78
        /// systemd starts the next supervisor at once (Restart=on-failure).
        case startAgain = 75
    }

    public enum State: Hashable, Sendable {
        case recovering
        case standing(Standing)
        case operating(Run)
        case ended
    }

    /// An operation under way.
    public struct Run: Hashable, Sendable {
        public var operation: Operation
        public var step: Step
        var remaining: ArraySlice<Step>
        var origin: Standing
        var ticket: Ticket?
        /// Something of the guest may still be there.
        var isStoreLeft = false
        /// Set while the operation is being undone.
        public var undoing: Cause?

        /// A person has asked for it and waits for the answer.
        public var isRequested: Bool { ticket != nil }

        public struct Cause: Hashable, Sendable {
            var step: Step
            var failure: Failure
        }
    }

    /// What follows when the guest is lost.
    public enum OnLoss: CaseIterable, Sendable {
        case fail
        case startAnew
    }

    public var onLoss = OnLoss.fail
    /// A person wants the guest to stand still. It stays so whatever is replaced, until a person continues it.
    public var isPaused = false
    public private(set) var state = State.recovering
    private var termination: Termination?
    private var isReady = false
    /// Why the guest's VM process is gone, learned while an operation was under way.
    private var endedReason: String?
    private var isPoweredOff = false

    public init() {}

    public mutating func handle(_ event: Event) -> [Effect] {
        switch (state, event) {
        case (.ended, _): []
        case (.recovering, .recovered(let decision, let isRestart)): recover(decision, isRestart: isRestart)
        case (.recovering, .requested(_, let ticket)):
            [.reply(ticket, .refused(Refusal("the supervisor is still looking at what it found; try again")))]
        case (_, .terminate(let termination)): terminate(termination)
        case (.standing(let standing), .requested(let request, let ticket)):
            switch request.operation(standing: standing, isPaused: isPaused) {
            case .success(let operation): begin(operation, from: standing, ticket: ticket)
            case .failure(let refusal): [.reply(ticket, .refused(refusal))]
            }
        case (.operating(let run), .requested(_, let ticket)):
            [
                .reply(
                    ticket,
                    .refused(Refusal("'\(run.operation.rawValue)' is under way (\(run.step.rawValue)); try again"))
                )
            ]
        case (.operating(let run), .completed(let step)) where run.step == step: completed(run)
        case (.operating(let run), .failed(let step, let failure)) where run.step == step: fail(run, failure)
        case (.standing(let standing), .vmProcessEnded(let reason)): vmProcessEnded(standing, reason)
        case (.standing(.running), .poweredOff): begin(.conclude, from: .running)
        case (.standing(.running), .foundPaused) where !isPaused: begin(.rollBack, from: .running)
        case (.recovering, .vmProcessEnded(let reason)), (.operating, .vmProcessEnded(let reason)): remember(reason)
        case (.recovering, .poweredOff), (.operating, .poweredOff): rememberPowerOff()
        // A guest can't power off while it does not run, and a step's end belongs to the operation it is of.
        case (.standing, .poweredOff), (.standing, .completed), (.standing, .failed), (.operating, .completed),
            (.operating, .failed), (.recovering, .completed), (.recovering, .failed), (.standing, .recovered),
            (.operating, .recovered), (.recovering, .foundPaused), (.standing, .foundPaused),
            (.operating, .foundPaused):
            []
        }
    }

    private mutating func remember(_ reason: String) -> [Effect] {
        endedReason = reason
        return []
    }

    private mutating func rememberPowerOff() -> [Effect] {
        isPoweredOff = true
        return []
    }

    // MARK: Recovery

    private mutating func recover(_ decision: Recovery.Decision, isRestart: Bool) -> [Effect] {
        switch decision {
        case .start: return begin(.start, from: .off)
        case .adopt:
            if endedReason != nil || isPoweredOff { return [.report(.adopted)] + settle(.running) }
            let canHandOver = isRestart && termination == nil
            return [.report(.adopted)] + (canHandOver ? begin(.handover, from: .running) : settle(.running))
        case .rollBack: return begin(.rollBack, from: .running)
        case .finishHandover: return begin(.finishHandover, from: .running)
        case .remainSaved(let hasVMProcess):
            return [.report(.stillSaved)] + settle(.saved(hasVMProcess: hasVMProcess))
        case .remainWaiting: return [.report(.stillWaiting)] + settle(.waiting)
        case .continueStop: return begin(.stop, from: .running)
        case .conclude: return begin(.conclude, from: .running)
        case .lost(let reason): return lose(reason)
        case .unclear(let reason): return [.report(.unclear(reason: reason))] + settle(.unclear(reason: reason))
        }
    }

    // MARK: Operations

    private mutating func begin(_ operation: Operation, from origin: Standing, ticket: Ticket? = nil) -> [Effect] {
        let steps = operation.steps
        state = .operating(
            Run(operation: operation, step: steps[0], remaining: steps.dropFirst(), origin: origin, ticket: ticket)
        )
        return [.report(.began(operation)), .perform(steps[0])]
    }

    private mutating func completed(_ run: Run) -> [Effect] {
        switch (run.operation, run.step) {
        // Another VM process is the guest's from here on: the end of the one before no longer matters.
        case (.handover, .recordCommit), (.handover, .takeBackCommit), (.exec, .recordWaiting),
            (.restore, .recordWaiting):
            endedReason = nil
        case (_, .recordPaused): isPaused = true
        case (_, .recordUnpaused): isPaused = false
        default: break
        }
        return advance(run)
    }

    private mutating func advance(_ run: Run) -> [Effect] {
        guard let next = run.remaining.first else { return run.undoing == nil ? finish(run) : finishUndoing(run) }
        var run = run
        run.step = next
        run.remaining = run.remaining.dropFirst()
        state = .operating(run)
        return [.perform(next)]
    }

    private mutating func fail(_ run: Run, _ failure: Failure) -> [Effect] {
        if run.step == .continueGuest, failure.kind == .outcomeUnknown {
            // The guest may run by now: nothing else may ever continue it.
            return [.report(.wentOn(run.operation, at: run.step, reason: failure.reason))] + advance(run)
        }
        if run.undoing != nil { return failUndoing(run, failure) }
        switch run.operation.undoing(run.step) {
        case .goOn:
            var run = run
            if run.step == .emptyStore { run.isStoreLeft = true }
            return [.report(.wentOn(run.operation, at: run.step, reason: failure.reason))] + advance(run)
        case .lose: return replyFailed(run, failure) + giveUp(failure.reason)
        case .steps(let steps):
            var run = run
            run.undoing = Run.Cause(step: run.step, failure: failure)
            guard let first = steps.first else { return finishUndoing(run) }
            run.step = first
            run.remaining = steps.dropFirst()
            state = .operating(run)
            return [.perform(first)]
        }
    }

    private mutating func failUndoing(_ run: Run, _ failure: Failure) -> [Effect] {
        switch run.step {
        // The guest runs, or is saved, whatever becomes of a VM process that has not loaded it, or only for show.
        case .endNextVMProcess where run.operation == .rehearse || !run.remaining.contains(.continueGuest):
            return [.report(.wentOn(run.operation, at: run.step, reason: failure.reason))] + advance(run)
        case .continueGuest, .recordRunning, .recordPaused, .endNextVMProcess:
            let first = run.undoing.map { "\($0.failure.reason); then " } ?? ""
            return replyFailed(run, failure) + giveUp("\(first)\(failure.reason)")
        default: return [.report(.wentOn(run.operation, at: run.step, reason: failure.reason))] + advance(run)
        }
    }

    private mutating func finish(_ run: Run) -> [Effect] {
        let answer: [Effect] = run.ticket.map { [.reply($0, .done)] } ?? []
        let effects: [Effect] = [.report(.finished(run.operation))] + answer
        switch run.operation {
        case .start, .startAnew, .handover, .rehearse, .changeMemory, .load, .restore, .resume, .rollBack,
            .finishHandover,
            .pause, .unpause, .reset, .powerdown, .dump:
            return effects + settle(.running)
        // One that has not ended goes when the next is there.
        case .hold: return effects + settle(.saved(hasVMProcess: false))
        case .save: return effects + settle(.saved(hasVMProcess: true))
        case .exec: return effects + settle(.waiting)
        case .stop, .conclude, .kill: return effects + end(.success)
        case .abandon:
            guard onLoss == .startAnew, termination == nil, !run.isStoreLeft else { return effects + end(.failure) }
            // What has happened to the lost guest's VM process is none of the next one's.
            (endedReason, isPoweredOff, isPaused) = (nil, false, false)
            return effects + begin(.startAnew, from: .off)
        case .leave: return effects + end(.success)
        }
    }

    private mutating func finishUndoing(_ run: Run) -> [Effect] {
        guard let cause = run.undoing else { return [] }
        let reason = cause.failure.reason
        let outcome: Report =
            run.operation == .handover && cause.failure.kind == .known
            ? .declined(run.operation, reason: reason)
            : .undone(run.operation, at: cause.step, reason: reason)
        let report: [Effect] = [.report(outcome)] + replyFailed(run, cause.failure)
        switch run.operation {
        case .start, .startAnew: return report + end(cause.failure.kind == .definition ? .definition : .failure)
        case .load: return report + settle(.saved(hasVMProcess: false))
        // There is nothing else that it could be powered off in, and no more time than a stop has.
        case .restore where termination == .stop:
            return report + lose("it was saved, and is not to be had back: \(reason)")
        // Once a VM process was there to load it, that was the guest's.
        case .restore where [.loadState, .recordCommit, .continueGuest].contains(cause.step):
            return report + settle(.saved(hasVMProcess: false))
        // It can't be asked to power off: it is ended in the end.
        case .unpause where termination == .stop: return report + begin(.stop, from: .running)
        // Only a stop is worth staying for.
        case .leave where termination != .stop: return report + end(.success)
        default: return report + settle(run.origin)
        }
    }

    private func replyFailed(_ run: Run, _ failure: Failure) -> [Effect] {
        run.ticket.map { [.reply($0, .failed(reason: failure.reason))] } ?? []
    }

    // MARK: Standing

    private mutating func settle(_ standing: Standing) -> [Effect] {
        var effects: [Effect] = []
        if !isReady {
            isReady = true
            effects.append(.ready)
        }
        state = .standing(standing)
        if standing == .running, isPoweredOff { return effects + begin(.conclude, from: .running) }
        if let reason = endedReason {
            endedReason = nil
            effects += vmProcessEnded(standing, reason)
        }
        if let termination, case .standing(let standing) = state { return effects + act(on: termination, standing) }
        return effects
    }

    private mutating func vmProcessEnded(_ standing: Standing, _ reason: String) -> [Effect] {
        switch standing {
        case .running: return lose(reason)
        case .saved, .waiting:
            state = .standing(.saved(hasVMProcess: false))
            return [.report(.vmProcessEnded(reason: reason))]
        case .off, .unclear: return [.report(.vmProcessEnded(reason: reason))]
        }
    }

    private mutating func lose(_ reason: String) -> [Effect] {
        // It ended by its own will: nothing is lost with it.
        if isPoweredOff { return begin(.conclude, from: .running) }
        return [.report(.lost(reason: reason))] + begin(.abandon, from: .off)
    }

    /// The guest can't be continued. It is lost only with its VM process.
    private mutating func giveUp(_ reason: String) -> [Effect] {
        if let ended = endedReason { return lose(reason.contains(ended) ? reason : "\(reason); \(ended)") }
        if isPoweredOff || termination == .stop { return lose(reason) }
        let advice = "the guest is paused and can't be continued: \(reason); restarting the unit tries it again"
        return [.report(.unclear(reason: advice))] + settle(.unclear(reason: advice))
    }

    // MARK: The supervisor's end

    private mutating func terminate(_ wanted: Termination) -> [Effect] {
        // A stop is never taken back: after it, systemd gives the descriptor store up.
        if termination != .stop { termination = wanted }
        if case .standing(let standing) = state { return act(on: wanted, standing) }
        return []
    }

    private mutating func act(on termination: Termination, _ standing: Standing) -> [Effect] {
        switch (termination, standing) {
        case (.signal, _): return end(.startAgain)
        case (.restart, .unclear): return end(.success)
        case (.restart, _): return begin(.leave, from: standing)
        case (.stop, .running): return begin(isPaused ? .unpause : .stop, from: standing)
        case (.stop, .saved(hasVMProcess: true)): return begin(.resume, from: standing)
        case (.stop, .waiting): return begin(.load, from: standing)
        // It has file systems to be unmounted: it runs once more to be powered off.
        case (.stop, .saved(hasVMProcess: false)): return begin(.restore, from: standing)
        case (.stop, .unclear), (.stop, .off): return end(.success)
        }
    }

    /// systemd takes a unit for failed, and starts it again, that ends well without ever having been ready.
    private mutating func end(_ status: ExitStatus) -> [Effect] {
        state = .ended
        return (isReady || status != .success ? [] : [.ready]) + [.exit(status)]
    }
}
