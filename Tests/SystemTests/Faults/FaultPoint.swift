import Lifecycle

/// Where the supervisor is stopped: right before or right after one step of an operation.
struct FaultPoint: Hashable, Sendable, CustomStringConvertible {
    enum Moment: String, CaseIterable, Sendable {
        case before, after
    }

    let operation: Operation
    let step: Step
    let moment: Moment
    /// The step belongs to the undoing of the operation.
    var isUndoing = false

    /// As the supervisor's halt file has it.
    var description: String { "\(isUndoing ? "undo-" : "")\(operation.rawValue) \(step.rawValue) \(moment.rawValue)" }

    /// Every point of every operation, and of every undoing that a fault can bring about. What starts a lost guest anew
    /// is a start; what follows from a button is the guest's matter. A change of memory leaves the guest with another
    /// inventory: see `MemoryTests`. A dump is its client's matter: see `DumpTests`.
    static let all: [FaultPoint] = Operation.allCases.filter {
        ![.startAnew, .reset, .powerdown, .changeMemory, .dump].contains($0)
    }.flatMap { operation in
        points(operation, operation.steps, isUndoing: false)
            + points(operation, undoneSteps[operation] ?? [], isUndoing: true)
    }

    private static func points(_ operation: Operation, _ steps: [Step], isUndoing: Bool) -> [FaultPoint] {
        steps.flatMap { step in
            Moment.allCases.map { FaultPoint(operation: operation, step: step, moment: $0, isUndoing: isUndoing) }
        }
    }

    /// The failure that each undoing is brought about by.
    static let failingSteps: [Operation: Step] = [
        .start: .connect, .handover: .continueGuest, .save: .saveState, .exec: .compare, .load: .loadState,
        .hold: .saveState, .restore: .loadState,
    ]

    private static let undoneSteps: [Operation: [Step]] = failingSteps.reduce(into: [:]) { steps, failing in
        if case .steps(let undoing) = failing.key.undoing(failing.value) { steps[failing.key] = undoing }
    }

    /// Where the undoing that the point belongs to begins.
    var beginningOfUndoing: FaultPoint? {
        guard isUndoing, let first = FaultPoint.undoneSteps[operation]?.first else { return nil }
        return FaultPoint(operation: operation, step: first, moment: .before, isUndoing: true)
    }

    /// Whether the point comes after another one of the same operation.
    func isPast(_ step: Step, _ moment: Moment) -> Bool {
        guard let here = operation.steps.firstIndex(of: self.step),
            let there = operation.steps.firstIndex(of: step)
        else { return false }
        return here > there || here == there && (self.moment == .after || moment == .before)
    }

    /// How the point is come to: where the supervisor is stopped first, and what is done to it there.
    var stages: [FaultCase] {
        func at(_ operation: Operation, _ step: Step, _ moment: Moment) -> FaultPoint {
            FaultPoint(operation: operation, step: step, moment: moment)
        }
        if isUndoing, let failing = FaultPoint.failingSteps[operation] {
            let halt = at(operation, failing, .before)
            let fault: Fault = halt.hasNew ? .killNew : operation == .load ? .killOld : .stopOld
            return [FaultCase(point: halt, fault: fault)]
        }
        return switch operation {
        case .rollBack: [FaultCase(point: at(.handover, .saveState, .after), fault: .killSupervisor)]
        case .finishHandover: [FaultCase(point: at(.handover, .recordCommit, .after), fault: .killSupervisor)]
        default: []
        }
    }

    // MARK: What there is at this point

    /// The VM process that was the guest's before the operation.
    var hasOld: Bool {
        if isUndoing {
            switch operation {
            case .start: return false
            case .load, .restore: return false
            default: return true
            }
        }
        return switch operation {
        case .start, .startAnew, .abandon, .restore: false
        case .handover, .exec, .finishHandover: !isPast(.retireVMProcess, .after)
        case .stop, .conclude, .kill, .hold: !isPast(.endVMProcess, .after)
        case .rehearse, .save, .load, .resume, .rollBack, .changeMemory, .leave, .pause, .unpause, .reset, .powerdown,
            .dump:
            true
        }
    }

    /// The VM process that was started by the operation.
    var hasNew: Bool {
        if isUndoing { return false }
        return switch operation {
        case .start, .startAnew, .handover, .exec, .restore: isPast(.startVMProcess, .after)
        case .rehearse: isPast(.startVMProcess, .after) && !isPast(.endNextVMProcess, .after)
        case .finishHandover: true
        case .rollBack: !isPast(.endNextVMProcess, .after)
        case .save, .load, .resume, .stop, .conclude, .abandon, .changeMemory, .leave, .hold, .pause, .unpause, .reset,
            .powerdown, .kill, .dump:
            false
        }
    }

    /// Whether the operation is one that begins without a guest, which then boots.
    var beginsOff: Bool { operation == .start || operation == .conclude }

    /// Whether the operation is meant to end the guest.
    var endsGuest: Bool {
        switch operation {
        case .stop, .resume, .conclude, .abandon: true
        // Before, it has not begun: the next supervisor knows nothing of it.
        case .kill: isPast(.recordStopping, .after)
        case .start, .startAnew, .handover, .rehearse, .save, .exec, .load, .rollBack, .finishHandover, .leave, .hold,
            .changeMemory, .restore, .pause, .unpause, .reset, .powerdown, .dump:
            false
        }
    }

    /// The operation is made of others' steps, and does the same there.
    var isOfAnotherOperation: Bool {
        switch operation {
        case .hold: isUndoing || ![.recordSaved, .endVMProcess].contains(step)
        case .restore:
            isUndoing
                || ![.recordUnpaused, .recordWaiting, .retireVMProcess, .loadState, .continueGuest].contains(step)
        default: false
        }
    }

    /// Whether the guest's CPU state was in the killed VM process alone, or can't be known to be elsewhere.
    func mayLoseGuest(by fault: Fault) -> Bool {
        switch (operation, fault) {
        case (.abandon, _): true
        case _ where isUndoing: fault == .killOld && [.handover, .save, .hold].contains(operation)
        case (.handover, .killOld), (.save, .killOld), (.hold, .killOld): !isPast(.saveState, .after)
        case (.pause, .killOld), (.unpause, .killOld), (.kill, .killOld): true
        case (.handover, .killNew), (.load, .killOld), (.restore, .killNew): isPast(.continueGuest, .after)
        case (.start, .killNew): isPast(.recordRunning, .after)
        case (.finishHandover, .killNew), (.rollBack, .killOld), (.leave, .killOld), (.resume, .killOld),
            (.rehearse, .killOld):
            true
        default: false
        }
    }
}

/// What is done to a stopped supervisor's surroundings, or to itself.
enum Fault: String, CaseIterable, Sendable {
    case killSupervisor = "kill-supervisor"
    /// It hangs, and is ended by its watchdog.
    case stopSupervisor = "stop-supervisor"
    case killOld = "kill-old"
    case killNew = "kill-new"
    case stopOld = "stop-old"
    case stopNew = "stop-new"
    case reexecuteManager = "daemon-reexec"

    var target: KeyPath<FaultPoint, Bool>? {
        switch self {
        case .killOld, .stopOld: \.hasOld
        case .killNew, .stopNew: \.hasNew
        case .killSupervisor, .stopSupervisor, .reexecuteManager: nil
        }
    }
}

/// One fault at one point.
struct FaultCase: Hashable, Sendable, CustomStringConvertible {
    let point: FaultPoint
    let fault: Fault

    var description: String { "\(point): \(fault.rawValue)" }

    enum HangResult {
        case undoing, goingOn, nothing
    }

    /// What a handover does about a VM process that hangs, where it must notice.
    var hangLeadsTo: HangResult {
        guard point.operation == .handover, !point.isUndoing else { return .nothing }
        switch fault {
        case .stopOld: return point.isPast(.saveState, .after) ? .nothing : .undoing
        case .stopNew where !point.isPast(.loadState, .after): return .undoing
        case .stopNew where !point.isPast(.continueGuest, .after): return .goingOn
        default: return .nothing
        }
    }

    static let all: [FaultCase] = FaultPoint.all.flatMap { point in
        Fault.allCases.filter { $0.target.map { point[keyPath: $0] } ?? true }.map {
            FaultCase(point: point, fault: $0)
        }
    }

    /// Where a fault decides who runs the guest.
    private static let decisive: Set<Step> = [.stopGuest, .saveState, .loadState, .recordCommit, .continueGuest]

    /// Every step of every operation at least once, and each fault at the decisive steps of a handover.
    static let selection: [FaultCase] = {
        var chosen: [FaultCase] = []
        var turn = 0
        var steps: [(FaultPoint, [FaultCase])] = []
        for point in FaultPoint.all where point.moment == .before && !point.isOfAnotherOperation {
            let both = all.filter {
                $0.point.operation == point.operation && $0.point.step == point.step
                    && $0.point.isUndoing == point.isUndoing
            }
            steps.append((point, both))
        }
        for (point, cases) in steps {
            turn += 1
            let isDecisive = point.operation == .handover && !point.isUndoing && decisive.contains(point.step)
            for (index, fault) in Fault.allCases.enumerated() {
                let moment = (turn + index).isMultiple(of: 2) ? FaultPoint.Moment.before : .after
                let ofFault = cases.filter { $0.fault == fault }
                let one = ofFault.first { $0.point.moment == moment } ?? ofFault.first
                guard let one, isDecisive || fault == quick[turn % quick.count] else { continue }
                chosen.append(one)
            }
            if !chosen.contains(where: { cases.contains($0) }), let one = cases.first { chosen.append(one) }
        }
        // A hang before READY=1, where there is no watchdog.
        let starting = FaultPoint(operation: .rollBack, step: .continueGuest, moment: .before)
        return chosen + [FaultCase(point: starting, fault: .stopSupervisor)]
    }()

    /// Faults that take no time-out to be noticed.
    private static let quick: [Fault] = [.killSupervisor, .killNew, .reexecuteManager]
}
