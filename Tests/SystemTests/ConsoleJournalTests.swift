import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// [Console] ForwardToJournal=
    @Suite struct ConsoleJournalTests {
        @Test func eachLineOnceThroughHandoversAndRestarts() async throws {
            try await withBootedSystem { system in
                let plan = GuestPlan(diskFormat: nil, sections: ["[Console]", "ForwardToJournal=yes"])
                let guest = try await RunningGuest(plan, on: system)
                for _ in 0..<3 { try await guest.perdure("upgrade") }
                try await guest.systemctl("restart")
                try await expectTicks(guest, doubled: false)

                // Where nothing can be watched, it is looked at all the same.
                try await guest.dropIn("[Service]\nSystemCallFilter=~inotify_init1 inotify_init\n")
                try await guest.killSupervisor()
                let begin = guest.console.lastTick
                try await guest.console.wait(forTick: begin + 3)
                try await expectTicks(guest, doubled: true)
                let said = try await system.journal(unit: guest.unit).compactMap { $0["MESSAGE"] }
                #expect(said.contains { $0.contains("can't be watched, and is looked at every 10 s") })

                try await guest.systemctl("stop")
                try await guest.expectGone()
                // And what it says at the very end, when nobody reads on.
                let last = try await lines(guest).last { $0["MESSAGE"]?.contains("powering off") == true }
                #expect(last?["PERDURE_CONSOLE"] == "ttyS0" && last?["_SYSTEMD_UNIT"] == guest.unit)
            }
        }

        private func lines(_ guest: RunningGuest) async throws -> [[String: String]] {
            try await guest.system.journal("SYSLOG_IDENTIFIER=perdure-console", "PERDURE_GUEST=\(guest.name)")
        }

        /// All that the guest has said so far comes, and nothing else of the kind.
        private func expectTicks(
            _ guest: RunningGuest,
            doubled: Bool,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            try guest.console.update()
            let last = guest.console.lastTick
            func ticks() async throws -> [UInt64] {
                try await lines(guest).compactMap { entry in
                    guard let text = entry["MESSAGE"], text.hasPrefix("tick=") else { return nil }
                    return UInt64(text.dropFirst("tick=".count).prefix { $0 != " " })
                }
            }
            try await guest.system.waitUntil("tick \(last) in the journal", deadline: .seconds(60)) {
                try await ticks().contains { $0 >= last }
            }
            let found = try await ticks()
            #expect(Set(found) == Set(1...(found.max() ?? 1)), sourceLocation: sourceLocation)
            if doubled {
                // What one second has brought, at most.
                #expect(found.count - Set(found).count <= 200, sourceLocation: sourceLocation)
            } else {
                #expect(found.count == Set(found).count, sourceLocation: sourceLocation)
            }
        }
    }
}
