import Lifecycle

/// What has come of a guest's handovers since it was started. Part of the ledger, so that it outlives supervisors, and
/// ends with the guest: counters that a monitor sees begin anew at a start, as it expects of counters.
struct HandoverCounters: Codable, Equatable, Sendable {
    enum Result: String, CaseIterable {
        case done
        /// Undone after the guest had been paused for it.
        case undone
        /// Given up before the guest was paused.
        case refused
        /// Not tried, since the QEMU that is installed is known not to take the guest.
        case declined

        static func failure(at step: Step) -> Result {
            let steps = Operation.handover.steps
            guard let pause = steps.firstIndex(of: .recordSaving), let failed = steps.firstIndex(of: step) else {
                return .undone
            }
            return failed < pause ? .refused : .undone
        }
    }

    /// Upper bounds of the classes of pauses, in microseconds. Ledgers have a number for each: these never change.
    static let bounds = [
        1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
        10_000_000,
    ]

    private(set) var done = 0
    private(set) var undone = 0
    private(set) var refused = 0
    private(set) var declined = 0
    /// How many pauses there were in each class, the last one without a bound.
    private(set) var pauses = [Int](repeating: 0, count: bounds.count + 1)
    /// Microseconds of all pauses.
    private(set) var pauseSum = 0

    subscript(result: Result) -> Int {
        switch result {
        case .done: done
        case .undone: undone
        case .refused: refused
        case .declined: declined
        }
    }

    /// Anything but numbers that only this type can have written would make nonsense of a monitor's graphs.
    var isPlausible: Bool {
        let numbers = [done, undone, refused, declined, pauseSum] + pauses
        return pauses.count == HandoverCounters.bounds.count + 1 && numbers.allSatisfy { (0...(1 << 50)).contains($0) }
    }

    /// - Parameter pause: microseconds that the guest was paused, where that is known.
    mutating func count(_ result: Result, pause: Int? = nil) {
        switch result {
        case .done: done += 1
        case .undone: undone += 1
        case .refused: refused += 1
        case .declined: declined += 1
        }
        guard let pause else { return }
        let index = HandoverCounters.bounds.firstIndex { pause <= $0 } ?? HandoverCounters.bounds.count
        pauses[index] += 1
        pauseSum += pause
    }
}

extension GuestSupervisor {
    /// A count that could not be written down is only a count.
    func count(_ result: HandoverCounters.Result, pause: Int? = nil) {
        try? record { ledger in
            var counters = ledger.handovers ?? HandoverCounters()
            if !counters.isPlausible { counters = HandoverCounters() }
            counters.count(result, pause: pause)
            ledger.handovers = counters
        }
    }
}
