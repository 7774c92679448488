import Testing

@testable import Lifecycle

/// What becomes of a handover where one thing goes wrong at one step.
struct HandoverTests {
    enum Disturbance: CaseIterable {
        case refused, definition, outcomeUnknown
        case vmProcessEnds, powerOff, restart, stop, signal
    }

    /// Carries a handover out with the model; `disturbance` happens instead of `step`, or right before it.
    private static func handOver(_ disturbance: Disturbance, at step: Step) throws -> (Lifecycle, GuestModel, [Step]) {
        var lifecycle = Lifecycle()
        var model = GuestModel()
        var performed: [Step] = []
        var pending = lifecycle.handle(.recovered(.start, isRestart: false)).steps
        var wasRequested = false
        var wasDisturbed = false
        while true {
            guard let next = pending.first else {
                guard lifecycle.standing == .running, !wasRequested else { break }
                wasRequested = true
                pending = lifecycle.handle(.requested(.upgrade, 1)).steps
                continue
            }
            var event: Lifecycle.Event?
            if wasRequested && !wasDisturbed && next == step {
                wasDisturbed = true
                event = disturb(disturbance, step, &lifecycle, &model)
            }
            if event == nil {
                performed.append(next)
                do {
                    try model.perform(next)
                    event = .completed(next)
                } catch {
                    event = .failed(next, Lifecycle.Failure("natural", kind: error.kind))
                }
            }
            pending = event.map { lifecycle.handle($0).steps } ?? []
            try #require(performed.count < 100)
        }
        #expect(wasDisturbed)
        #expect(model.violation == nil)
        return (lifecycle, model, performed)
    }

    /// The step's end where it is disturbed itself.
    private static func disturb(
        _ disturbance: Disturbance,
        _ step: Step,
        _ lifecycle: inout Lifecycle,
        _ model: inout GuestModel
    ) -> Lifecycle.Event? {
        switch disturbance {
        case .refused: return .failed(step, Lifecycle.Failure("refused", kind: .refused))
        case .definition: return .failed(step, Lifecycle.Failure("definition", kind: .definition))
        case .outcomeUnknown: return .failed(step, Lifecycle.Failure("unknown", kind: .outcomeUnknown))
        case .vmProcessEnds:
            if let current = model.current, model.die(current) {
                _ = lifecycle.handle(.vmProcessEnded(reason: "ended"))
            }
        case .powerOff:
            guard let current = model.current, model.processes[current].activity == .running else { break }
            model.powerOff(current)
            _ = lifecycle.handle(.poweredOff)
        case .restart: _ = lifecycle.handle(.terminate(.restart))
        case .stop: _ = lifecycle.handle(.terminate(.stop))
        case .signal: _ = lifecycle.handle(.terminate(.signal))
        }
        return nil
    }

    private static let untilCommit = Array(Operation.handover.steps.prefix { $0 != .recordCommit }) + [.recordCommit]

    @Test(arguments: untilCommit, [Disturbance.refused, .definition, .outcomeUnknown])
    func aFailureUntilTheCommitLeavesTheGuestRunning(step: Step, disturbance: Disturbance) throws {
        let (lifecycle, model, _) = try Self.handOver(disturbance, at: step)
        #expect(lifecycle.standing == .running)
        #expect(model.processes.map(\.activity) == [.running])
        #expect(model.ledger?.phase == .running)
        #expect(model.state == .empty)
    }

    /// Once the state is saved, the old VM process is not needed any more, and the new one not before it is told to
    /// continue the guest.
    @Test(arguments: Operation.handover.steps)
    func theGuestsVMProcessEnds(step: Step) throws {
        let (lifecycle, model, performed) = try Self.handOver(.vmProcessEnds, at: step)
        let steps = Operation.handover.steps
        let index = try #require(steps.firstIndex(of: step))
        let isNeeded = try #require(steps.firstIndex(of: .saveState)) >= index
        let isReplaced = try #require(steps.firstIndex(of: .continueGuest)) < index
        if isNeeded || isReplaced {
            #expect(lifecycle.state == .ended)
            #expect(performed.last == .emptyStore)
            #expect(model.processes.allSatisfy { !$0.isAlive })
        } else {
            #expect(lifecycle.standing == .running)
            #expect(model.activity(model.current) == .running)
        }
    }

    @Test(arguments: Operation.handover.steps)
    func theGuestPowersOff(step: Step) throws {
        let (lifecycle, model, performed) = try Self.handOver(.powerOff, at: step)
        let steps = Operation.handover.steps
        let index = try #require(steps.firstIndex(of: step))
        // It can't power off while it is paused.
        let stop = try #require(steps.firstIndex(of: .stopGuest))
        let isPaused = try index > stop && index <= #require(steps.firstIndex(of: .continueGuest))
        if isPaused {
            #expect(lifecycle.standing == .running)
        } else {
            #expect(lifecycle.state == .ended)
            #expect(performed.suffix(2) == [.endVMProcess, .emptyStore])
            #expect(model.processes.isEmpty)
        }
    }

    @Test(arguments: Operation.handover.steps)
    func aTerminationWaitsForTheEnd(step: Step) throws {
        let (stopped, stoppedModel, toPowerOff) = try Self.handOver(.stop, at: step)
        #expect(stopped.state == .ended)
        #expect(Array(toPowerOff.suffix(4)) == [.powerDown, .awaitPowerOff, .endVMProcess, .emptyStore])
        #expect(stoppedModel.processes.isEmpty)

        let (restarted, restartedModel, toLeave) = try Self.handOver(.restart, at: step)
        #expect(restarted.state == .ended)
        #expect(toLeave.suffix(2) == [.discardState, .recordRestart])
        #expect(restartedModel.ledger?.isRestart == true)

        let (left, leftModel, toDiscard) = try Self.handOver(.signal, at: step)
        #expect(left.state == .ended)
        #expect(toDiscard.last == .discardState)
        for model in [restartedModel, leftModel] { #expect(model.processes.map(\.activity) == [.running]) }
    }

    /// After the commit the guest runs on in the new VM process; only one that refuses to continue is taken back.
    @Test(arguments: [
        (Step.continueGuest, Disturbance.refused), (.continueGuest, .outcomeUnknown), (.retireVMProcess, .refused),
        (.discardState, .refused),
    ])
    func aFailureAfterTheCommit(step: Step, disturbance: Disturbance) throws {
        let (lifecycle, model, performed) = try Self.handOver(disturbance, at: step)
        #expect(lifecycle.standing == .running)
        #expect(performed.contains(.endNextVMProcess) == (step == .continueGuest && disturbance == .refused))
        #expect(model.processes.count { $0.activity == .running } == (disturbance == .outcomeUnknown ? 0 : 1))
    }
}
