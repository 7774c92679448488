import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What is asked of a guest itself: its memory, for a debugger, and its agent, whether it is well.
    @Suite struct DumpTests {
        private static let core = "/srv/web.core"

        @Test func aGuestIsDumpedAndItsAgentAsked() async throws {
            try await withBootedSystem { system in
                try await system.run(["mkdir", "-p", "/srv"])
                let plan = GuestPlan(testedMiB: 8, sections: ["[Agent]"], options: ["agent=1", "tick_ms=100"])
                let guest = try await RunningGuest(plan, on: system)
                try await guest.console.wait(for: "perdure-guest agent listens")
                try await expectDump(of: guest)
                try await expectRefusals(of: guest)
                try await expectTheGuestGoesOn(guest)
                try await expectAgent(of: guest)
            }
        }

        // MARK: dump

        private func expectDump(of guest: RunningGuest) async throws {
            let system = guest.system
            let text = String(decoding: guest.console.bytes, as: UTF8.self)
            let address = try #require(text.firstMatch(of: /heartbeat_paddr=(0x[0-9a-f]+)/)?.1)
            let magic = try #require(text.firstMatch(of: /heartbeat_magic=(0x[0-9a-f]+)/)?.1)
            try await guest.perdure("dump", Self.core)
            try await guest.expectGuestIntact()
            #expect(try await guest.journal(.memoryGiven).count == 1)
            let numbers = try await system.run(["stat", "--format=%a %s %b", Self.core]).stdout
                .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
            try #require(numbers.count == 3)
            #expect(numbers[0] == 600 && numbers[1] > guest.plan.ramMiB << 20 && numbers[2] * 512 < numbers[1])

            // The guest's memory is where the file says it is.
            let headers = try await system.run(["readelf", "--wide", "--segments", Self.core]).stdout
            let segments = headers.matches(of: /LOAD +0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+) 0x([0-9a-f]+)/).map {
                [$0.1, $0.2, $0.3].compactMap { UInt64($0, radix: 16) }
            }
            let wanted = try #require(UInt64(address.dropFirst(2), radix: 16))
            let segment = try #require(segments.first { $0[1] <= wanted && wanted < $0[1] + $0[2] }, "\(headers)")
            let file = try FileHandle(forReadingFrom: URL(filePath: system.hostPath(Self.core)))
            try file.seek(toOffset: segment[0] + (wanted - segment[1]))
            let bytes = try #require(try file.read(upToCount: 8))
            let found = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            #expect(found == UInt64(magic.dropFirst(2), radix: 16))

            // A debugger has the processor's registers and, by virtual addresses, what it was executing.
            let paged = "/srv/paged.core"
            let said = try await guest.perdure("dump", paged, "--paging", "--json").stdout
            #expect(said.contains(#""format":"elf""#) && said.contains(#""bytes":"#))
            let gdb = ["gdb", "-batch", "-nx", "--core=\(paged)", "-ex", "info registers rip", "-ex", "x/1xb $rip"]
            let debugger = try await system.run(gdb).stdout
            #expect(debugger.contains(/rip +0x[0-9a-f]+/), "\(debugger)")
            #expect(
                debugger.split(separator: "\n").last?.contains(/0x[0-9a-f]+:\t0x[0-9a-f]{2}/) == true,
                "\(debugger)"
            )

            let compressed = "/srv/web.kdump"
            try await guest.perdure("dump", compressed, "--format", "kdump-zlib")
            #expect(try await system.run(["head", "-c", "12", compressed]).stdout == "makedumpfile")
            try await guest.expectGuestIntact()
        }

        private func expectRefusals(of guest: RunningGuest) async throws {
            let system = guest.system
            try await system.run(["mkdir", "/run/small"])
            try await system.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/run/small"])
            let refusals: [(options: [String], reason: String)] = [
                ([Self.core], "'\(Self.core)' is there already"),
                (["/srv/x", "--format", "elv"], "has no dump format 'elv'; it has elf"),
                (["/srv/x", "--format", "kdump-zlib", "--paging"], "only the format 'elf'"),
                (["/run/small/x"], "and there are 8 MiB free where '/run/small/x' is"),
            ]
            for refusal in refusals {
                let output = try await system.run(["perdure", "dump", "web"] + refusal.options, check: false)
                #expect(output.status == 75 && output.stderr.contains(refusal.reason), "\(output)")
            }
            #expect(try await system.run(["ls", "-A", "/run/small"]).stdout == "")
            #expect(try await guest.journal(.memoryGiven).count == 3)
            // It stands still anyway.
            try await guest.perdure("pause")
            try await guest.perdure("dump", "/srv/paused.core")
            #expect(try await guest.status().state == "paused")
            try await guest.perdure("resume")
            try await guest.expectGuestIntact()
        }

        /// Whoever takes the dump dies before its end.
        private func expectTheGuestGoesOn(_ guest: RunningGuest) async throws {
            let system = guest.system
            let killed = try await system.run(
                ["bash", "-c", "ulimit -f 8192; exec perdure dump web /srv/cut.core"],
                check: false
            )
            #expect(killed.status != 0)
            try await guest.expectGuestIntact()
            #expect(try await system.run(["test", "-e", "/srv/cut.core"], check: false).status == 1)
            let undone = try #require(try await guest.journal(.requestUndone).last)
            #expect(undone["PERDURE_STEP"] == "dump-guest")
            // What it has left is not mistaken for a dump, nor for somebody's.
            let again = try await system.run(["perdure", "dump", "web", "/srv/cut.core"], check: false)
            #expect(again.status == 75 && again.stderr.contains("/srv/cut.core.partial' is there already"), "\(again)")
            try await system.run(["rm", "/srv/cut.core.partial"])
            try await guest.perdure("dump", "/srv/cut.core")
            try await guest.perdure("upgrade")
            try await guest.expectGuestIntact()
        }

        // MARK: agent

        private struct Results: Decodable {
            struct Guest: Decodable {
                let outcome: String
                let agent: String?
                let reason: String?
            }

            let guests: [Guest]
        }

        private func upgrade(_ guest: RunningGuest, status: Int32 = 0) async throws -> Results.Guest? {
            let output = try await guest.perdure("upgrade", "--json", check: false)
            #expect(output.status == status, "\(output)")
            return try JSONDecoder().decode(Results.self, from: Data(output.stdout.utf8)).guests.first
        }

        private func expectAgent(of guest: RunningGuest) async throws {
            #expect(try await upgrade(guest)?.agent == "answers")
            // Who talks to it is left in peace, and gets nothing that is not for him.
            let client = try guest.agent()
            try client.send("one\n")
            #expect(try client.line() == "one")
            #expect(try await upgrade(guest)?.agent == "busy")
            let text = try await guest.perdure("upgrade").stdout
            #expect(text.contains("somebody talks to its agent"), "\(text)")
            try client.send("last ping\n")
            #expect(try client.line() == "last ping")
            client.end()
            // It answers once more, and not after the handover.
            let failed = try await upgrade(guest, status: 1)
            #expect(failed?.outcome == "failed")
            #expect(failed?.reason?.contains("has not done so within 10 s") == true, "\(failed?.reason ?? "")")
            // One that has not answered before is not waited for.
            #expect(try await upgrade(guest)?.agent == "silent")
            try await guest.expectGuestIntact()
        }
    }
}
