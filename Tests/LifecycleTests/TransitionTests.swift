import Testing

@testable import Lifecycle

/// Every event in every state that any order of events leads to.
struct TransitionTests {
    private static let decisions: [Recovery.Decision] = [
        .start, .adopt, .rollBack, .finishHandover, .remainSaved(hasVMProcess: true), .remainSaved(hasVMProcess: false),
        .remainWaiting, .continueStop, .conclude, .lost(reason: "r"), .unclear(reason: "r"),
    ]

    /// Whoever waits for an answer has this ticket; `later` is one who asks meanwhile.
    private static let ticket = 1
    private static let later = 2

    private struct Node: Hashable {
        var lifecycle = Lifecycle()
        var isWaiting = false
        var isReady = false
    }

    private static func events(_ node: Node) -> [Lifecycle.Event] {
        var events: [Lifecycle.Event] = [
            .terminate(.restart), .terminate(.stop), .terminate(.signal), .vmProcessEnded(reason: "r"), .poweredOff,
            .foundPaused,
        ]
        if node.lifecycle.state == .recovering {
            events += decisions.flatMap { [.recovered($0, isRestart: false), .recovered($0, isRestart: true)] }
        } else {
            events.append(.recovered(.start, isRestart: false))
        }
        events += Request.allCases.map { .requested($0, node.isWaiting ? later : ticket) }
        // The step under way and one that is not.
        let pending = node.lifecycle.pending
        for step in [pending ?? .connect, pending == .compare ? .connect : .compare] {
            events.append(.completed(step))
            events += Lifecycle.Failure.Kind.allCases.map { .failed(step, Lifecycle.Failure("r", kind: $0)) }
        }
        return events
    }

    private static func next(_ node: Node, _ event: Lifecycle.Event) -> Node {
        var after = node
        let effects = after.lifecycle.handle(event)
        func expect(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
            check(condition, "\(event) in \(node.lifecycle) led to \(effects)", sourceLocation: sourceLocation)
        }

        if case .ended = node.lifecycle.state { expect(effects.isEmpty) }
        let exits = effects.exits
        expect(exits.count <= 1)
        if let status = exits.first { expect(effects.last == .exit(status) && after.lifecycle.state == .ended) }

        // A step is performed when the one before it has come back, and the state says which.
        let steps = effects.steps
        expect(steps.count <= 1)
        let (before, pending) = (node.lifecycle.pending, after.lifecycle.pending)
        if let step = steps.first {
            expect(pending == step && effects.last == .perform(step))
        } else {
            expect(pending == before || pending == nil)
        }
        if let before {
            let isItsEnd =
                switch event {
                case .completed(before), .failed(before, _): true
                default: false
                }
            expect(isItsEnd || (steps.isEmpty && after.lifecycle.state == node.lifecycle.state))
        }

        let answers = effects.replies(to: ticket).count
        if case .requested = event, !node.isWaiting {
            if node.lifecycle.state != .ended {
                expect(answers == (steps.isEmpty ? 1 : 0))
                after.isWaiting = answers == 0
            }
        } else {
            if case .requested = event { expect(answers == 0 && effects.replies(to: later).count == 1) }
            expect(answers <= (node.isWaiting ? 1 : 0))
            if answers == 1 { after.isWaiting = false }
        }
        if pending == nil { expect(!after.isWaiting) }

        let readies = effects.count { $0 == .ready }
        expect(readies <= (node.isReady ? 0 : 1))
        after.isReady = node.isReady || readies == 1
        if after.lifecycle.standing != nil { expect(after.isReady) }
        return after
    }

    @Test func everyEventInEveryState() throws {
        let starts = Lifecycle.OnLoss.allCases.map { onLoss in
            var node = Node()
            node.lifecycle.onLoss = onLoss
            return node
        }
        var exploration = Exploration(from: starts, limit: 200_000)
        try exploration.run { node in Self.events(node).map { Self.next(node, $0) } }
        var performed: Set<String> = []
        for node in exploration.visited {
            if let operation = node.lifecycle.operation, let step = node.lifecycle.pending {
                performed.insert("\(operation) \(step)")
            }
        }
        for operation in Operation.allCases {
            for step in operation.steps { #expect(performed.contains("\(operation) \(step)")) }
        }
        #expect(exploration.visited.contains { $0.lifecycle.state == .ended })
    }
}
