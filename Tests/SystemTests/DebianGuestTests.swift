import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// An installed Debian that works for its living.
    @Suite(.enabled(if: DebianGuest.missing == nil, Comment(rawValue: DebianGuest.missing ?? "")))
    struct DebianGuestTests {
        private static let handovers = 20

        @Test func noTransactionFailsAndNoSessionDrops() async throws {
            try await withBootedSystem { system in
                let start = ContinuousClock.now
                let debian = try await DebianGuest(on: system)
                let booted = ContinuousClock.now
                let (complaints, boot) = (try await debian.kernelErrors(), try await debian.bootID())
                try await debian.startSession()
                try await debian.startBench()
                for number in 1...Self.handovers {
                    try await debian.guest.perdure("upgrade")
                    if number == Self.handovers / 2 { try await debian.guest.killSupervisor() }
                    // Each finds it at work again.
                    let seen = try await debian.sessionLines(atLeast: 1)
                    _ = try await debian.sessionLines(atLeast: seen + 10)
                }
                let entries = try await debian.guest.journal(.handoverDone)
                #expect(entries.count == Self.handovers)
                let transactions = try await debian.endBench()
                #expect(transactions > Self.handovers)
                let lines = try await debian.endSession()
                #expect(lines > Self.handovers * 10)
                #expect(try await debian.kernelErrors() == complaints)
                #expect(try await debian.bootID() == boot)
                try await debian.expectHealthy()
                try await debian.expectDatabaseIntact()
                let status = try await debian.guest.status()
                #expect(status.generation == Self.handovers + 1)
                try await debian.guest.expectNothingLeft(beside: status)
                let working = ContinuousClock.now
                try await debian.guest.systemctl("stop")
                try await debian.guest.expectGone()
                try await debian.guest.console.wait(for: "reboot: Power down")
                let check = try await system.run(["e2fsck", "-f", "-n", debian.guest.plan.image], check: false)
                #expect(check.status == 0, "\(check)")
                let pauses = entries.compactMap { $0["PERDURE_PAUSE_USEC"].flatMap { Int($0) } }.sorted()
                print(
                    "Debian: \(transactions) transactions, \(lines) lines by SSH, pauses in µs \(pauses); booted in "
                        + "\((booted - start).components.seconds) s, worked \((working - booted).components.seconds) s"
                )
            }
        }
    }
}
