import Testing

@testable import Lifecycle

/// The lifecycle with a model of its driver: whatever fails, ends or is asked for at whichever step, the guest is
/// executed in one VM process at a time, and how it stands is how it is.
struct ExecutionTests {
    struct Node: Hashable {
        var lifecycle = Lifecycle()
        var model = GuestModel()
        /// How many more things may go wrong.
        var faults: Int
        var terminations: Int
        var isWaiting = false
        /// A request to continue has been left unanswered: the guest may be paused where it should run.
        var isContinueUnknown = false
        /// Not part of what the node is.
        var trail: Trail?

        static func == (left: Node, right: Node) -> Bool { left.key == right.key }
        func hash(into hasher: inout Hasher) { hasher.combine(key) }

        private var key: Key {
            Key(
                lifecycle: lifecycle,
                model: model,
                faults: faults,
                terminations: terminations,
                isWaiting: isWaiting,
                isContinueUnknown: isContinueUnknown
            )
        }

        private struct Key: Hashable {
            let lifecycle: Lifecycle
            let model: GuestModel
            let faults: Int
            let terminations: Int
            let isWaiting: Bool
            let isContinueUnknown: Bool
        }
    }

    /// How a node was reached.
    final class Trail: Sendable {
        let event: String
        let before: Trail?

        init(_ event: String, _ before: Trail?) { (self.event, self.before) = (event, before) }

        var text: String { (before.map { $0.text + " → " } ?? "") + event }
    }

    private static let ticket = 1
    private static let later = 2

    /// What may happen next. Each result has been checked.
    private static func successors(_ node: Node) -> [Node] {
        var found: [Node] = []
        func add(_ name: String, _ change: (inout Node) -> Lifecycle.Event?) {
            var after = node
            after.trail = Trail(name, node.trail)
            let effects = change(&after).map { after.lifecycle.handle($0) } ?? []
            if !effects.replies(to: ticket).isEmpty { after.isWaiting = false }
            judge(after, effects)
            found.append(after)
        }

        if case .ended = node.lifecycle.state { return [] }
        if let step = node.lifecycle.pending { addOutcomes(of: step, node, add) }
        for process in node.model.processes.indices {
            let isCurrent = process == node.model.current
            if node.model.processes[process].isAlive && node.faults > 0 {
                add("\(isCurrent ? "the guest's" : "another") VM process ends") { node in
                    node.faults -= 1
                    return node.model.die(process) ? .vmProcessEnded(reason: "r") : nil
                }
            }
            if node.model.processes[process].activity == .running {
                add("the guest powers off") { node in
                    node.model.powerOff(process)
                    return isCurrent ? .poweredOff : nil
                }
            }
            if node.model.processes[process].mayContinue && node.model.processes[process].activity == .paused {
                add("the guest continues late") { node in
                    node.model.continueLate(process)
                    return nil
                }
            }
        }
        if node.lifecycle.standing == .running, node.model.activity(node.model.current) == .paused {
            add("the guest is found paused") { _ in .foundPaused }
        }
        if node.terminations > 0 {
            for termination in [Termination.restart, .stop, .signal] {
                add("\(termination)") { node in
                    node.terminations -= 1
                    return .terminate(termination)
                }
            }
        }
        if case .standing = node.lifecycle.state {
            for request in Request.allCases {
                add("\(request)") { node in
                    node.isWaiting = true
                    return .requested(request, ticket)
                }
            }
        }
        if node.faults > 0 {
            for isSilent in [false, true] {
                add("the supervisor is killed\(isSilent ? "; the VM process is silent" : "")") { node in
                    node.faults -= 1
                    let onLoss = node.lifecycle.onLoss
                    (node.lifecycle, node.isWaiting) = (Lifecycle(), false)
                    node.lifecycle.onLoss = onLoss
                    let (decision, isRestart) = node.model.recover(isSilent: isSilent)
                    node.lifecycle.isPaused = node.model.ledger?.isPaused == true
                    if isSilent && decision == .adopt { node.isContinueUnknown = true }
                    return .recovered(decision, isRestart: isRestart)
                }
            }
        }
        return found
    }

    private static func addOutcomes(
        of step: Step,
        _ node: Node,
        _ add: (String, (inout Node) -> Lifecycle.Event?) -> Void
    ) {
        var done = node.model
        var natural: GuestModel.Failed?
        do { try done.perform(step) } catch { natural = error }
        if let natural {
            add("\(step) can't be done") { node in
                if step == .continueGuest { node.isContinueUnknown = true }
                return .failed(step, Lifecycle.Failure("r", kind: natural.kind))
            }
        } else {
            add("\(step)") { node in
                node.model = done
                return .completed(step)
            }
        }
        guard node.faults > 0 else { return }
        for kind in Lifecycle.Failure.Kind.allCases {
            add("\(step) fails (\(kind))") { node in
                node.faults -= 1
                if step == .continueGuest, kind == .outcomeUnknown, let current = node.model.current {
                    node.isContinueUnknown = true
                    node.model.noteContinuing()
                    node.model.processes[current].mayContinue = true
                }
                return .failed(step, Lifecycle.Failure("r", kind: kind))
            }
        }
        // A ledger write is done or not done; an answer from outside can be lost.
        if natural == nil, !step.rawValue.hasPrefix("record-") {
            add("\(step) seems to fail") { node in
                node.faults -= 1
                node.model = done
                return .failed(step, Lifecycle.Failure("r", kind: .outcomeUnknown))
            }
        }
    }

    private static func judge(_ node: Node, _ effects: [Lifecycle.Effect]) {
        let model = node.model
        func expect(_ condition: Bool, _ what: String) {
            check(condition, "\(what): \(node.trail?.text ?? "")\n  \(effects)\n  \(node.lifecycle.state)\n  \(model)")
        }
        expect(model.violation == nil, model.violation ?? "")
        switch node.lifecycle.standing {
        case .running:
            let activity = model.activity(model.current)
            let wanted = node.lifecycle.isPaused ? GuestModel.Activity.paused : .running
            expect(activity == wanted || node.isContinueUnknown, "the guest is said to be \(wanted)")
            expect(node.lifecycle.isPaused == model.ledger?.isPaused, "the ledger has it otherwise")
        case .saved(let hasVMProcess):
            expect(model.state == .complete, "the guest is said to be saved")
            expect(model.activity(model.current) == .paused || !hasVMProcess, "a VM process is said to be there")
            expect(model.processes.allSatisfy { $0.activity != .running }, "the guest is said to be saved, and runs")
        case .waiting:
            expect(model.state == .complete, "the guest is said to wait")
            expect(model.activity(model.current) == .incoming, "a VM process is said to wait")
        case .off: expect(false, "a guest that is off is not taken care of")
        case .unclear, nil: break
        }
        // A supervisor that makes way leaves the guest behind, also where it could not note why.
        let isLeaving = effects.reports.contains { report in
            switch report {
            case .finished(.leave), .undone(.leave, _, _), .unclear: true
            default: false
            }
        }
        if effects.exits == [.success], !isLeaving {
            let isExplained = effects.reports.isEmpty || effects.reports.contains { $0.isFailure(at: .emptyStore) }
            expect(isExplained || model.processes.allSatisfy { !$0.isAlive }, "something of the guest is left")
        }
    }

    @Test(arguments: [(faults: 2, terminations: 0), (faults: 1, terminations: 2)], Lifecycle.OnLoss.allCases)
    func oneVMProcessExecutes(limits: (faults: Int, terminations: Int), onLoss: Lifecycle.OnLoss) throws {
        var node = Node(faults: limits.faults, terminations: limits.terminations)
        node.lifecycle.onLoss = onLoss
        _ = node.lifecycle.handle(.recovered(.start, isRestart: false))
        var exploration = Exploration(from: [node], limit: 100_000)
        try exploration.run(Self.successors)
        #expect(exploration.visited.contains { $0.lifecycle.state == .ended })
    }
}
