import Foundation
import Lifecycle
import Testing

@testable import Supervisor

struct HandoverCountersTests {
    @Test func countsAndClasses() {
        var counters = HandoverCounters()
        for pause in [0, 1_000, 1_001, 8_312, 10_000_001] { counters.count(.done, pause: pause) }
        counters.count(.done)
        counters.count(.refused)
        #expect(HandoverCounters.Result.allCases.map { counters[$0] } == [6, 0, 1, 0])
        #expect(counters.pauses == [2, 1, 0, 1] + [Int](repeating: 0, count: 9) + [1])
        #expect(counters.pauseSum == 10_010_314)
        #expect(counters.isPlausible)
    }

    @Test(arguments: [
        (Step.readDefinition, HandoverCounters.Result.refused), (.compare, .refused), (.syncDisks, .refused),
        (.recordSaving, .undone), (.stopGuest, .undone), (.loadState, .undone), (.continueGuest, .undone),
    ])
    func failures(step: Step, result: HandoverCounters.Result) {
        #expect(HandoverCounters.Result.failure(at: step) == result)
    }

    /// What an older or a newer supervisor, or a broken ledger, has left.
    @Test(arguments: [
        #"{"done":-1,"undone":0,"refused":0,"declined":0,"pauses":[0,0,0,0,0,0,0,0,0,0,0,0,0,0],"pauseSum":0}"#,
        #"{"done":0,"undone":0,"refused":0,"declined":0,"pauses":[0],"pauseSum":0}"#,
        #"{"done":0,"undone":0,"refused":0,"declined":0,"pauses":[0,0,0,0,0,0,0,0,0,0,0,0,0,0],"pauseSum":9223372036854775807}"#,
    ])
    func implausible(json: String) throws {
        #expect(try !JSONDecoder().decode(HandoverCounters.self, from: Data(json.utf8)).isPlausible)
    }

    /// Ledgers keep numbers without their bounds.
    @Test func boundsNeverChange() {
        #expect(
            HandoverCounters.bounds == [
                1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
                10_000_000,
            ]
        )
    }
}
