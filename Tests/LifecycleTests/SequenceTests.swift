import Testing

@testable import Lifecycle

/// What is done in which order.
struct SequenceTests {
    /// The effects, in short: `step`, `? report`, `! exit`.
    private struct Script {
        var lifecycle = Lifecycle()
        var log: [String] = []

        mutating func send(_ event: Lifecycle.Event) {
            for effect in lifecycle.handle(event) {
                switch effect {
                case .perform(let step): log.append(step.rawValue)
                case .reply(_, .done): log.append("reply done")
                case .reply(_, .refused): log.append("reply refused")
                case .reply(_, .failed(let reason)): log.append("reply failed: \(reason)")
                case .report(let report): log.append("report \(report.brief)")
                case .ready: log.append("ready")
                case .exit(let status): log.append("exit \(status.rawValue)")
                }
            }
        }

        /// Every step succeeds until `step` is up.
        mutating func run(until step: Step? = nil) {
            while let pending = lifecycle.pending, pending != step { send(.completed(pending)) }
        }

        mutating func fail(at step: Step, kind: Lifecycle.Failure.Kind = .refused) {
            run(until: step)
            send(.failed(step, Lifecycle.Failure("r", kind: kind)))
        }

        mutating func take() -> [String] {
            defer { log = [] }
            return log
        }

        static func recovered(_ decision: Recovery.Decision, isRestart: Bool = false) -> Script {
            var script = Script()
            script.send(.recovered(decision, isRestart: isRestart))
            script.run()
            script.log = []
            return script
        }
    }

    @Test func start() {
        var script = Script()
        script.send(.recovered(.start, isRestart: false))
        script.run()
        #expect(
            script.log == [
                "report began start", "read-definition", "probe-qemu", "create-memory", "start-vm-process", "connect",
                "record-running", "continue-guest", "report finished start", "ready",
            ]
        )
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test(arguments: Operation.start.steps, Lifecycle.Failure.Kind.allCases)
    func startFails(step: Step, kind: Lifecycle.Failure.Kind) {
        var script = Script()
        script.send(.recovered(.start, isRestart: false))
        script.fail(at: step, kind: kind)
        script.run()
        if step == .continueGuest && kind == .outcomeUnknown {
            #expect(script.log.suffix(3) == ["report wentOn start", "report finished start", "ready"])
        } else {
            #expect(
                script.log.suffix(5) == [
                    "end-next-vm-process", "end-vm-process", "empty-store", "report undone start",
                    kind == .definition ? "exit 78" : "exit 1",
                ]
            )
        }
    }

    @Test func handover() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.upgrade, 1))
        script.run()
        #expect(
            script.log == [
                "report began handover", "read-definition", "probe-qemu", "start-vm-process", "connect", "compare",
                "sync-disks", "record-saving", "stop-guest", "save-state", "record-loading", "load-state",
                "record-commit", "continue-guest", "retire-vm-process", "discard-state", "report finished handover",
                "reply done",
            ]
        )
    }

    @Test func restartHandsOver() {
        var script = Script()
        script.send(.recovered(.adopt, isRestart: true))
        #expect(script.take() == ["report adopted", "report began handover", "read-definition"])
        script.run()
        #expect(script.log.suffix(2) == ["report finished handover", "ready"])
    }

    private static let toRunning = ["end-next-vm-process", "record-running", "continue-guest", "discard-state"]
    private static let undone = ["report undone handover", "reply failed: r"]
    private static let stays = ["end-next-vm-process"]

    /// What follows the failure of each step.
    private static let rollback: [Step: [String]] = [
        .readDefinition: stays + undone, .probeQEMU: stays + undone, .startVMProcess: stays + undone,
        .connect: stays + undone, .compare: stays + undone, .syncDisks: stays + undone,
        .recordSaving: toRunning + undone, .stopGuest: toRunning + undone, .saveState: toRunning + undone,
        .recordLoading: toRunning + undone, .loadState: toRunning + undone, .recordCommit: toRunning + undone,
        .continueGuest: ["take-back-commit"] + toRunning + undone,
        .retireVMProcess: ["report wentOn handover", "discard-state", "report finished handover", "reply done"],
        .discardState: ["report wentOn handover", "report finished handover", "reply done"],
    ]

    @Test(arguments: Operation.handover.steps)
    func handoverFails(step: Step) throws {
        var script = Script.recovered(.adopt)
        script.send(.requested(.upgrade, 1))
        script.run(until: step)
        _ = script.take()
        script.fail(at: step)
        script.run()
        #expect(script.log == (try #require(Self.rollback[step])))
        #expect(script.lifecycle.state == .standing(.running))
    }

    /// What is known to fail is not reported as if it had been tried.
    @Test func restartDeclinesToHandOver() {
        var script = Script()
        script.send(.recovered(.adopt, isRestart: true))
        script.run(until: .probeQEMU)
        _ = script.take()
        script.fail(at: .probeQEMU, kind: .known)
        script.run()
        #expect(script.log == ["end-next-vm-process", "report declined handover", "ready"])
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test func rehearse() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.rehearse, 1))
        script.run()
        #expect(
            script.log == [
                "report began rehearse", "read-definition", "probe-qemu", "start-vm-process", "connect", "compare",
                "sync-disks", "record-saving", "stop-guest", "save-state", "rehearse-load", "end-next-vm-process",
                "record-running", "continue-guest", "discard-state", "report finished rehearse", "reply done",
            ]
        )
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test(arguments: Operation.rehearse.steps)
    func rehearsalFails(step: Step) throws {
        var script = Script.recovered(.adopt)
        script.send(.requested(.rehearse, 1))
        script.run(until: step)
        _ = script.take()
        script.fail(at: step)
        script.run()
        switch step {
        case .readDefinition, .probeQEMU, .startVMProcess, .connect, .compare, .syncDisks:
            #expect(script.log == Self.stays + ["report undone rehearse", "reply failed: r"])
        case .endNextVMProcess:
            #expect(
                script.log == [
                    "report wentOn rehearse", "record-running", "continue-guest", "discard-state",
                    "report finished rehearse", "reply done",
                ]
            )
        case .discardState:
            #expect(script.log == ["report wentOn rehearse", "report finished rehearse", "reply done"])
        default: #expect(script.log == Self.toRunning + ["report undone rehearse", "reply failed: r"])
        }
        #expect(script.lifecycle.state == .standing(.running))
    }

    /// The VM process that was to be thrown away can't harm the guest: it must not cost it.
    @Test func aRehearsalsVMProcessDoesNotEnd() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.rehearse, 1))
        script.fail(at: .rehearseLoad)
        script.fail(at: .endNextVMProcess)
        script.run()
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test func saveExecLoad() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.save, 1))
        script.run()
        #expect(
            script.take() == [
                "report began save", "sync-disks", "record-saving", "stop-guest", "save-state", "record-saved",
                "report finished save", "reply done",
            ]
        )
        #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: true)))
        script.send(.requested(.exec, 2))
        script.run()
        #expect(
            script.take() == [
                "report began exec", "read-definition", "probe-qemu", "start-vm-process", "connect", "compare",
                "record-waiting", "retire-vm-process", "report finished exec", "reply done",
            ]
        )
        #expect(script.lifecycle.state == .standing(.waiting))
        script.send(.requested(.load, 3))
        script.run()
        #expect(
            script.take() == [
                "report began load", "load-state", "record-commit", "continue-guest", "discard-state",
                "report finished load", "reply done",
            ]
        )
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test(arguments: Operation.save.steps)
    func saveFails(step: Step) {
        var script = Script.recovered(.adopt)
        script.send(.requested(.save, 1))
        script.run(until: step)
        _ = script.take()
        script.fail(at: step)
        script.run()
        let undoing = step == .syncDisks ? [] : ["record-running", "continue-guest", "discard-state"]
        #expect(script.log == undoing + ["report undone save", "reply failed: r"])
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test(arguments: Operation.exec.steps, [Standing.saved(hasVMProcess: true), .saved(hasVMProcess: false), .waiting])
    func execFails(step: Step, origin: Standing) {
        let decision: Recovery.Decision =
            switch origin {
            case .saved(let hasVMProcess): .remainSaved(hasVMProcess: hasVMProcess)
            default: .remainWaiting
            }
        var script = Script.recovered(decision)
        script.send(.requested(.exec, 1))
        script.run(until: step)
        _ = script.take()
        script.fail(at: step)
        script.run()
        if step == .retireVMProcess {
            #expect(script.log == ["report wentOn exec", "report finished exec", "reply done"])
            #expect(script.lifecycle.state == .standing(.waiting))
        } else {
            #expect(script.log == ["end-next-vm-process", "report undone exec", "reply failed: r"])
            #expect(script.lifecycle.state == .standing(origin))
        }
    }

    @Test(arguments: Operation.load.steps)
    func loadFails(step: Step) {
        var script = Script.recovered(.remainWaiting)
        script.send(.requested(.load, 1))
        script.run(until: step)
        _ = script.take()
        script.fail(at: step)
        script.run()
        if step == .discardState {
            #expect(script.log == ["report wentOn load", "report finished load", "reply done"])
            #expect(script.lifecycle.state == .standing(.running))
        } else {
            #expect(script.log == ["end-vm-process", "record-saved", "report undone load", "reply failed: r"])
            #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: false)))
        }
    }

    private static let poweringOff = [
        "report began stop", "record-stopping", "power-down", "await-power-off", "end-vm-process", "empty-store",
        "report finished stop", "exit 0",
    ]

    @Test(arguments: [
        (Recovery.Decision.adopt, poweringOff),
        (
            .remainSaved(hasVMProcess: true),
            [
                "report began resume", "record-unpaused", "end-next-vm-process", "record-running", "continue-guest",
                "discard-state",
                "report finished resume",
            ] + poweringOff
        ),
        (
            .remainWaiting,
            [
                "report began load", "load-state", "record-commit", "continue-guest", "discard-state",
                "report finished load",
            ] + poweringOff
        ),
        (
            .remainSaved(hasVMProcess: false),
            [
                "report began restore", "record-unpaused", "read-definition", "probe-qemu", "start-vm-process",
                "connect",
                "compare", "record-waiting", "retire-vm-process", "load-state", "record-commit", "continue-guest",
                "discard-state", "report finished restore",
            ] + poweringOff
        ),
        (.unclear(reason: "r"), ["exit 0"]),
    ])
    func stop(from decision: Recovery.Decision, expected: [String]) {
        var script = Script.recovered(decision)
        script.send(.terminate(.stop))
        script.run()
        #expect(script.log == expected)
        #expect(script.lifecycle.state == .ended)
    }

    /// It is tried once: a stop must come to an end.
    @Test(arguments: Operation.restore.steps.filter { ![.retireVMProcess, .discardState].contains($0) })
    func aHeldGuestCantBePoweredOff(step: Step) {
        var script = Script.recovered(.remainSaved(hasVMProcess: false))
        script.send(.terminate(.stop))
        script.fail(at: step)
        script.run()
        #expect(script.log.filter { $0.hasPrefix("report began") } == ["report began restore", "report began abandon"])
        #expect(script.log.contains("report lost") && script.log.last == "exit 1")
    }

    /// A guest that does not power off is ended all the same.
    @Test(arguments: Operation.stop.steps)
    func stopFails(step: Step) {
        var script = Script.recovered(.adopt)
        script.send(.terminate(.stop))
        script.fail(at: step)
        script.run()
        #expect(script.log.filter { $0 != "report wentOn stop" } == Self.poweringOff)
    }

    /// After a stop the descriptor store is given up: no later restart may find a guest that still runs.
    @Test(arguments: [Termination.restart, .signal, .stop])
    func aStopIsNotTakenBack(second: Termination) {
        var script = Script.recovered(.adopt)
        script.send(.requested(.upgrade, 1))
        script.send(.terminate(.stop))
        script.send(.terminate(second))
        script.run()
        #expect(script.log.suffix(Self.poweringOff.count) == Self.poweringOff[...])
    }

    @Test func restart() {
        var script = Script.recovered(.adopt)
        script.send(.terminate(.restart))
        script.run()
        #expect(script.log == ["report began leave", "record-restart", "report finished leave", "exit 0"])
    }

    @Test func restartWhileOperating() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.save, 1))
        script.run(until: .saveState)
        script.send(.terminate(.restart))
        script.send(.requested(.upgrade, 2))
        #expect(script.log.last == "reply refused")
        script.run()
        #expect(
            script.log.suffix(6) == [
                "report finished save", "reply done", "report began leave", "record-restart", "report finished leave",
                "exit 0",
            ]
        )
    }

    @Test func aSignalLeavesTheGuestAlone() {
        var script = Script.recovered(.adopt)
        script.send(.terminate(.signal))
        #expect(script.log == ["exit 75"])
    }

    @Test func poweredOff() {
        var script = Script.recovered(.adopt)
        script.send(.poweredOff)
        script.run()
        #expect(
            script.log == [
                "report began conclude", "record-stopping", "end-vm-process", "empty-store", "report finished conclude",
                "exit 0",
            ]
        )
    }

    /// A stop has been carried out after it was taken back.
    @Test func guestThatIsFoundPausedIsContinued() {
        var script = Script.recovered(.adopt)
        script.send(.foundPaused)
        script.run()
        #expect(
            script.log == [
                "report began rollBack", "end-next-vm-process", "record-running", "continue-guest", "discard-state",
                "report finished rollBack",
            ]
        )
        #expect(script.lifecycle.state == .standing(.running))
    }

    /// What QEMU refuses to continue is kept for a person to look at, for as long as there is a VM process that has it.
    @Test(arguments: [Recovery.Decision.rollBack, .finishHandover])
    func aGuestThatCannotBeContinuedIsKept(decision: Recovery.Decision) {
        var script = Script()
        script.send(.recovered(decision, isRestart: false))
        script.fail(at: .continueGuest)
        #expect(script.take().suffix(2) == ["report unclear", "ready"])
        guard case .standing(.unclear) = script.lifecycle.state else {
            Issue.record("\(script.lifecycle.state)")
            return
        }
        script = Script()
        script.send(.recovered(decision, isRestart: false))
        script.run(until: .continueGuest)
        script.send(.vmProcessEnded(reason: "r"))
        script.fail(at: .continueGuest)
        script.run()
        #expect(script.log.contains("report lost") && script.log.last == "exit 1")
    }

    /// The new VM process has ended before it was told to continue: that is not the end of the guest.
    @Test func newVMProcessThatEndsAtTheCommitIsNotTheGuests() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.upgrade, 1))
        script.run(until: .continueGuest)
        script.send(.vmProcessEnded(reason: "r"))
        script.fail(at: .continueGuest)
        script.run()
        #expect(script.log.suffix(2) == ["report undone handover", "reply failed: r"])
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test func pausingAndContinuing() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.pause, 1))
        script.run()
        #expect(
            script.take() == [
                "report began pause", "pause-guest", "record-paused", "report finished pause", "reply done",
            ]
        )
        #expect(script.lifecycle.state == .standing(.running) && script.lifecycle.isPaused)
        // Nobody continues it but a person.
        script.send(.foundPaused)
        #expect(script.take() == [])
        script.send(.requested(.upgrade, 2))
        script.run()
        #expect(script.take().last == "reply done" && script.lifecycle.isPaused)
        script.send(.requested(.resume, 3))
        script.run()
        #expect(
            script.take() == [
                "report began unpause", "record-unpaused", "continue-guest", "report finished unpause", "reply done",
            ]
        )
        #expect(!script.lifecycle.isPaused)
    }

    @Test func aPauseThatFailsIsUndone() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.pause, 1))
        script.fail(at: .recordPaused)
        script.run()
        #expect(script.take().suffix(3) == ["continue-guest", "report undone pause", "reply failed: r"])
        #expect(!script.lifecycle.isPaused)
    }

    /// A guest that stands still can't power itself off.
    @Test(arguments: [false, true]) func aPausedGuestIsContinuedToBePoweredOff(fails: Bool) {
        var script = Script.recovered(.adopt)
        script.send(.requested(.pause, 1))
        script.run()
        _ = script.take()
        script.send(.terminate(.stop))
        if fails { script.fail(at: .continueGuest) }
        script.run()
        #expect(script.log.prefix(3) == ["report began unpause", "record-unpaused", "continue-guest"])
        #expect(script.log.contains("report began stop") && script.log.last == "exit 0")
    }

    @Test func holdingAndRestoring() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.hold, 1))
        script.run()
        #expect(script.take().suffix(4) == ["record-saved", "end-vm-process", "report finished hold", "reply done"])
        #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: false)))
        script.send(.requested(.resume, 2))
        script.fail(at: .compare)
        script.run()
        #expect(script.take().suffix(3) == ["end-next-vm-process", "report undone restore", "reply failed: r"])
        #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: false)))
        script.send(.requested(.resume, 3))
        script.fail(at: .loadState)
        script.run()
        #expect(
            script.take().suffix(4) == ["end-vm-process", "record-saved", "report undone restore", "reply failed: r"]
        )
        #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: false)))
        script.send(.requested(.resume, 4))
        script.run()
        #expect(script.take().last == "reply done")
        #expect(script.lifecycle.state == .standing(.running))
    }

    @Test func buttons() {
        var script = Script.recovered(.adopt)
        script.send(.requested(.reset, 1))
        script.run()
        #expect(script.take() == ["report began reset", "reset-guest", "report finished reset", "reply done"])
        script.send(.requested(.powerdown, 2))
        script.fail(at: .powerDown)
        #expect(
            script.take() == ["report began powerdown", "power-down", "report undone powerdown", "reply failed: r"]
        )
        script.send(.requested(.kill, 3))
        script.run()
        #expect(
            script.take() == [
                "report began kill", "record-stopping", "end-vm-process", "empty-store", "report finished kill",
                "reply done", "exit 0",
            ]
        )
    }

    @Test func vmProcessEnds() {
        var script = Script.recovered(.adopt)
        script.send(.vmProcessEnded(reason: "r"))
        script.run()
        #expect(script.log == Self.abandoning + ["exit 1"])
    }

    private static let abandoning = [
        "report lost", "report began abandon", "record-lost", "dump-memory", "empty-store",
        "report finished abandon",
    ]

    private static let bootingAnew = [
        "report began startAnew", "admit-restart", "read-definition", "probe-qemu", "create-memory", "start-vm-process",
        "connect", "record-running", "continue-guest", "report finished startAnew",
    ]

    @Test func aLostGuestIsStartedAnew() {
        var script = Script.recovered(.adopt)
        script.lifecycle.onLoss = .startAnew
        for _ in 1...3 {
            script.send(.vmProcessEnded(reason: "r"))
            script.run()
            #expect(script.take() == Self.abandoning + Self.bootingAnew)
            #expect(script.lifecycle.state == .standing(.running))
        }
        script.send(.vmProcessEnded(reason: "r"))
        script.fail(at: .admitRestart)
        #expect(
            script.log == Self.abandoning + [
                "report began startAnew", "admit-restart", "report undone startAnew", "exit 1",
            ]
        )
    }

    /// Found lost by a supervisor that has just been started: the unit is ready when the guest runs again.
    @Test func aLostGuestIsStartedAnewByTheNextSupervisor() {
        var script = Script()
        script.lifecycle.onLoss = .startAnew
        script.send(.recovered(.lost(reason: "r"), isRestart: true))
        script.run()
        #expect(script.log == Self.abandoning + Self.bootingAnew + ["ready"])
    }

    @Test(arguments: Operation.startAnew.steps.dropFirst())
    func startAnewFails(step: Step) {
        var script = Script.recovered(.adopt)
        script.lifecycle.onLoss = .startAnew
        script.send(.vmProcessEnded(reason: "r"))
        script.fail(at: step, kind: .definition)
        script.run()
        #expect(
            script.log.suffix(5) == [
                "end-next-vm-process", "end-vm-process", "empty-store", "report undone startAnew", "exit 78",
            ]
        )
    }

    /// A dump that fails is nobody's loss; RAM that is not given up is.
    @Test(arguments: [(Step.dumpMemory, true), (.emptyStore, false)])
    func abandoningFails(step: Step, isStartedAnew: Bool) {
        var script = Script.recovered(.adopt)
        script.lifecycle.onLoss = .startAnew
        script.send(.vmProcessEnded(reason: "r"))
        script.fail(at: step)
        script.run()
        #expect(script.log.contains("report wentOn abandon"))
        #expect(script.log.last == (isStartedAnew ? "report finished startAnew" : "exit 1"))
    }

    @Test(arguments: [Termination.stop, .restart, .signal])
    func aLostGuestIsNotStartedAnewAtTheUnitsEnd(termination: Termination) {
        var script = Script.recovered(.adopt)
        script.lifecycle.onLoss = .startAnew
        script.send(.vmProcessEnded(reason: "r"))
        script.send(.terminate(termination))
        script.run()
        #expect(script.log == Self.abandoning + ["exit 1"])
    }

    /// It is saved all the same.
    @Test func vmProcessOfASavedGuestEnds() {
        var script = Script.recovered(.remainSaved(hasVMProcess: true))
        script.send(.vmProcessEnded(reason: "r"))
        #expect(script.take() == ["report vmProcessEnded"])
        #expect(script.lifecycle.state == .standing(.saved(hasVMProcess: false)))
    }

    @Test func nothingIsAskedBeforeTheRecovery() {
        var script = Script()
        script.send(.requested(.upgrade, 1))
        script.send(.terminate(.restart))
        script.send(.vmProcessEnded(reason: "r"))
        #expect(script.take() == ["reply refused"])
        script.send(.recovered(.adopt, isRestart: true))
        script.run()
        #expect(script.log.prefix(3) == ["report adopted", "ready", "report lost"])
    }
}

extension Lifecycle.Report {
    fileprivate var brief: String {
        switch self {
        case .began(let operation): "began \(operation)"
        case .finished(let operation): "finished \(operation)"
        case .undone(let operation, _, _): "undone \(operation)"
        case .declined(let operation, _): "declined \(operation)"
        case .wentOn(let operation, _, _): "wentOn \(operation)"
        case .adopted: "adopted"
        case .stillSaved: "stillSaved"
        case .stillWaiting: "stillWaiting"
        case .unclear: "unclear"
        case .lost: "lost"
        case .vmProcessEnded: "vmProcessEnded"
        }
    }
}
