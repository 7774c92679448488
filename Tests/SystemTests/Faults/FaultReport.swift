/// What a run of fault cases came to.
struct FaultReport: CustomStringConvertible {
    private var injected: [Fault: Int] = [:]
    private var problems: [String] = []
    /// Guests that the fault had to cost, and those that it should not have.
    private var lost = (allowed: 0, wrong: 0)
    private var ramErrors: UInt64 = 0
    private var recordsLost: UInt64 = 0
    /// Microseconds that the guest was paused by handovers without faults.
    private var pauses: [Int] = []

    mutating func note(_ fault: FaultCase, problem: String? = nil) {
        injected[fault.fault, default: 0] += 1
        if let problem { problems.append("\(fault): \(problem)") }
    }

    mutating func noteLoss(isAllowed: Bool) {
        if isAllowed { lost.allowed += 1 } else { lost.wrong += 1 }
    }

    /// At a guest's end.
    mutating func note(ramErrors: UInt64, recordsLost: UInt64) {
        self.ramErrors += ramErrors
        self.recordsLost += recordsLost
    }

    mutating func note(pause: Int) { pauses.append(pause) }

    private var distribution: String {
        let sorted = pauses.sorted()
        if sorted.isEmpty { return "no handovers without faults" }
        func share(_ perMille: Int) -> Int { sorted[(sorted.count - 1) * perMille / 1000] }
        return "pauses of \(sorted.count) handovers without faults, in µs: median \(share(500)), p99 \(share(990)), "
            + "p99.9 \(share(999)), max \(share(1000))"
    }

    var description: String {
        let kinds = Fault.allCases.map { "\($0.rawValue) \(injected[$0] ?? 0)" }.joined(separator: ", ")
        let failures = problems.isEmpty ? "none" : "\(problems.count)\n" + problems.joined(separator: "\n")
        return """
            faults injected: \(injected.values.reduce(0, +)) (\(kinds))
            guests lost that should not have been: \(lost.wrong) (lost with their only CPU state: \(lost.allowed))
            RAM errors: \(ramErrors), disk records lost: \(recordsLost)
            \(distribution)
            cases that failed: \(failures)
            """
    }
}
