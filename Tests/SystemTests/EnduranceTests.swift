import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct EnduranceTests {
        /// How often the unit is restarted, and how often it is upgraded.
        private static let count =
            ProcessInfo.processInfo.environment["PERDURE_TEST_ENDURANCE"].flatMap { Int($0) } ?? 100

        @Test func guestSurvivesHundredsOfReplacements() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(options: ["disk_ms=20"]), on: system)
                var generation = try await guest.expectGuestIntact().generation
                #expect(generation == 1)

                for _ in 0..<Self.count {
                    try await guest.systemctl("restart")
                    try await guest.expectReceived(generation: generation)
                    generation += 1
                }
                #expect(try await guest.expectGuestIntact().generation == 1 + Self.count)

                for _ in 0..<Self.count { try await guest.perdure("upgrade") }
                let status = try await guest.expectGuestIntact()
                #expect(status.generation == 1 + 2 * Self.count)

                for _ in 0..<max(1, Self.count / 5) {
                    try await guest.killSupervisor()
                    try await guest.expectReceived(generation: status.generation)
                }
                try await guest.expectGuestIntact(pid: status.pid)

                try await expectSameConsole(guest)
                try await expectPauses(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                let boot = try guest.console.verified()
                #expect(boot.ending == .powerOff)
                let log = try guest.diskLog()
                #expect(log.problems == [])
                #expect(log.boots == [boot.id])
                #expect(log.lastRecord >= boot.diskRecords)
                let counts = "\(boot.lastTick) ticks, \(boot.sweeps) sweeps, \(log.lastRecord) disk records"
                print("endurance: \(status.generation) generations, \(counts)")
            }
        }

        /// One process has followed the console from the beginning. What it printed is what is kept.
        private func expectSameConsole(_ guest: RunningGuest) async throws {
            let kept = Array(try await guest.perdure("console", "--no-follow").stdout.utf8)
            try await guest.system.waitUntil("the console's follower") {
                try guest.console.update()
                return guest.console.bytes.count >= kept.count
            }
            #expect(guest.console.bytes.prefix(kept.count).elementsEqual(kept))
            #expect(try await guest.console.errors() == "")
        }

        private func expectPauses(_ guest: RunningGuest) async throws {
            let entries = try await guest.journal(.handoverDone)
            let pauses = entries.compactMap { $0["PERDURE_PAUSE_USEC"].flatMap { Int($0) } }.sorted()
            #expect(pauses.count == 2 * Self.count)
            #expect(pauses.allSatisfy { $0 > 0 })
            func percentile(_ percent: Int) -> Int { pauses[(pauses.count - 1) * percent / 100] }
            guard !pauses.isEmpty else { return }
            print(
                "endurance: pauses of \(pauses.count) handovers in µs: median \(percentile(50)), "
                    + "p99 \(percentile(99)), max \(percentile(100))"
            )
        }
    }
}
