import Testing

@testable import Lifecycle

/// Follows every path from a node breadth-first, each node once.
struct Exploration<Node: Hashable> {
    struct TooLarge: Error {}

    private(set) var visited: Set<Node> = []
    private var queue: [Node]
    private let limit: Int

    /// - Parameter limit: how many nodes are expected at most; more mean that the exploration does not end.
    init(from starts: [Node], limit: Int) {
        queue = starts
        visited = Set(starts)
        self.limit = limit
    }

    mutating func run(_ successors: (Node) throws -> [Node]) throws {
        var index = 0
        while index < queue.count {
            for node in try successors(queue[index]) where visited.insert(node).inserted { queue.append(node) }
            index += 1
            if visited.count > limit { throw TooLarge() }
        }
    }
}

/// As `#expect`, at a price that a million checks can pay.
func check(_ condition: Bool, _ what: @autoclosure () -> String, sourceLocation: SourceLocation = #_sourceLocation) {
    if !condition { Issue.record(Comment(rawValue: what()), sourceLocation: sourceLocation) }
}

extension Lifecycle {
    /// The step that the driver is carrying out.
    var pending: Step? {
        if case .operating(let run) = state { return run.step }
        return nil
    }

    var operation: Operation? {
        if case .operating(let run) = state { return run.operation }
        return nil
    }

    var standing: Standing? {
        if case .standing(let standing) = state { return standing }
        return nil
    }
}

extension [Lifecycle.Effect] {
    var steps: [Step] {
        compactMap { effect in
            if case .perform(let step) = effect { return step }
            return nil
        }
    }

    var exits: [Lifecycle.ExitStatus] {
        compactMap { effect in
            if case .exit(let status) = effect { return status }
            return nil
        }
    }

    var reports: [Lifecycle.Report] {
        compactMap { effect in
            if case .report(let report) = effect { return report }
            return nil
        }
    }

    var isLost: Bool {
        reports.contains { report in
            if case .lost = report { return true }
            return false
        }
    }

    func replies(to ticket: Lifecycle.Ticket) -> [Lifecycle.Reply] {
        compactMap { effect in
            if case .reply(ticket, let reply) = effect { return reply }
            return nil
        }
    }
}

extension Lifecycle.Report {
    func isFailure(at step: Step) -> Bool {
        if case .wentOn(_, step, _) = self { return true }
        return false
    }
}
