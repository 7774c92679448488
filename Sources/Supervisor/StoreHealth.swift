/// Whether systemd keeps all of the guest's descriptors, as far as it is known; says when that is worth a word, and when
/// to look again where no event may tell of the mending.
struct StoreHealth: Equatable, Sendable {
    enum Finding: Equatable, Sendable {
        case whole
        /// systemd keeps too few.
        case short(reason: String)
        /// systemd has not answered, as while it is being executed anew.
        case unknown(reason: String)
    }

    enum Report: Equatable, Sendable {
        case incomplete(reason: String)
        case complete
    }

    private static let firstRetry = Duration.seconds(1)
    private static let longestRetry = Duration.seconds(60)
    /// So many times in a row without an answer are a problem.
    private static let patience = 3

    /// What has been reported, nil where all is well.
    private(set) var problem: String?
    private var failures = 0

    /// - Returns: what is to be said, and when to look again at the latest; nil where only an event can change anything.
    mutating func take(_ finding: Finding) -> (report: Report?, retryAfter: Duration?) {
        switch finding {
        case .whole:
            failures = 0
            if problem == nil { return (nil, nil) }
            problem = nil
            return (.complete, nil)
        case .short(let reason): return fail(reason, isCertain: true)
        case .unknown(let reason): return fail(reason, isCertain: false)
        }
    }

    private mutating func fail(_ reason: String, isCertain: Bool) -> (Report?, Duration?) {
        let retry = min(StoreHealth.longestRetry, StoreHealth.firstRetry * (1 << min(failures, 6)))
        failures += 1
        guard reason != problem, isCertain || failures >= StoreHealth.patience else { return (nil, retry) }
        problem = reason
        return (.incomplete(reason: reason), retry)
    }
}
