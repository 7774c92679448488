import Foundation
import Lifecycle
import SystemTestSupport
import Testing

private let soakHandovers = number("PERDURE_TEST_SOAK").map { Int(clamping: $0) }
private let soakSeed = number("PERDURE_TEST_SEED")
/// Only cases whose description matches this regular expression, to see them again.
private let soakCases = ProcessInfo.processInfo.environment["PERDURE_TEST_FAULTS"] ?? ""

private func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

extension SystemTests {
    /// For hours; see 'make soak'.
    @Suite(.enabled(if: soakHandovers != nil, "PERDURE_TEST_SOAK names no number of handovers"))
    struct SoakTests {
        @Test func everyFaultAtEveryPoint() async throws {
            try await withBootedSystem { system in
                let run = try await FaultRun(FaultMatrixTests.plan, on: system)
                let wanted = try Regex(soakCases)
                try await run.runAll(FaultCase.all.filter { $0.description.contains(wanted) })
                print("matrix:\n\(run.report)")
            }
        }

        /// The same seed draws the same faults.
        @Test func faultsAtRandom() async throws {
            let seed = soakSeed ?? UInt64.random(in: 0 ... .max)
            print("soak: PERDURE_TEST_SEED=\(seed)")
            try await withBootedSystem { system in
                let run = try await FaultRun(FaultMatrixTests.plan, on: system)
                try await run.guest.dropIn("[Service]\nWatchdogSec=8s\n")
                try await run.guest.systemctl("restart")
                var random = SplitMix64(state: seed)
                let wanted = try Regex(soakCases)
                let cases = FaultCase.all.filter {
                    $0.point.operation == .handover && !$0.point.isUndoing && $0.description.contains(wanted)
                }
                for _ in 0..<(soakHandovers ?? 0) {
                    // By fault first: those that need a VM process are possible at fewer points.
                    let fault = Fault.allCases.randomElement(using: &random)
                    if let drawn = cases.filter({ $0.fault == fault }).randomElement(using: &random) {
                        await run.run(drawn)
                    }
                    await run.handOver()
                }
                try await run.finish()
                print("soak: PERDURE_TEST_SEED=\(seed)\n\(run.report)")
            }
        }
    }
}

/// Vigna's generator: a state of one number, which makes a run reproducible.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
