import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Several guests at once: what is shown of them, and what is done to them one after the other.
    @Suite struct RollingUpgradeTests {
        private struct Listing: Decodable {
            struct Guest: Decodable {
                let name, state: String
                let generation: Int?
                let outdated: Bool?
                let memoryBytes: Int?
                let lastPauseUsec: Int?
            }

            let guests: [Guest]
        }

        private struct Results: Decodable {
            struct Guest: Decodable {
                let guest, outcome: String
                let reason: String?
            }

            let guests: [Guest]
        }

        private func list(_ system: BootedSystem) async throws -> [Listing.Guest] {
            let text = try await system.run(["perdure", "list", "--json"]).stdout
            return try JSONDecoder().decode(Listing.self, from: Data(text.utf8)).guests
        }

        @Test func upgradesStopAtTheFirstFailure() async throws {
            try await withBootedSystem { system in
                var guests: [RunningGuest] = []
                for name in ["a", "b", "c"] {
                    let plan = GuestPlan(name: name, testedMiB: 8, diskFormat: nil, options: ["tick_ms=100"])
                    guests.append(try await RunningGuest(plan, on: system))
                }
                try await GuestPlan(name: "idle", diskFormat: nil).write(to: system)
                var listed = try await list(system)
                #expect(listed.map(\.name) == ["a", "b", "c", "idle"])
                #expect(listed.map(\.state) == ["running", "running", "running", "off"])
                #expect(listed.prefix(3).allSatisfy { $0.memoryBytes == 128 << 20 && $0.outdated == false })

                // Nothing is outdated: nothing is done.
                let nothing = try await system.run(["perdure", "upgrade", "--all", "--outdated"])
                #expect(nothing.stdout == "left out: 3 (a, b, c)\n")
                try await guests[0].perdure("pause")
                let all = try await system.run(["perdure", "upgrade", "--all", "--parallel", "2"])
                #expect(all.stdout.hasSuffix("done: 3 (a, b, c)\n") && all.stderr == "", "\(all)")
                listed = try await list(system)
                #expect(listed.map(\.state) == ["paused", "running", "running", "off"])
                #expect(listed.prefix(3).allSatisfy { $0.generation == 2 })
                #expect(listed[1].lastPauseUsec != nil)
                try await guests[0].perdure("resume")

                // The second does not go.
                let refusing = try await QEMUWrapper.endsAsVMProcess.install(on: system)
                try await guests[1].define { $0.qemu = refusing }
                let stopped = try await system.run(["perdure", "upgrade", "--all"], check: false)
                #expect(stopped.status == 75, "\(stopped)")
                #expect(stopped.stdout.hasSuffix("done: 1 (a); failed: 1 (b); not tried: 1 (c)\n"), "\(stopped)")
                #expect(stopped.stderr.contains("farewell"), "\(stopped)")
                let named = try await system.run(["perdure", "upgrade", "--json", "b", "c"], check: false)
                #expect(named.status == 75 && named.stderr == "")
                let results = try JSONDecoder().decode(Results.self, from: Data(named.stdout.utf8)).guests
                #expect(results.map(\.outcome) == ["failed", "not-tried"])
                #expect(results.first?.reason?.contains("farewell") == true)
                #expect(try await list(system).prefix(3).map(\.generation) == [3, 2, 2])
                for guest in guests { try await guest.expectGuestIntact() }

                try await expectAdvice(system)
                try await expectTable(system)
            }
        }

        /// Who mistypes is told what was meant.
        private func expectAdvice(_ system: BootedSystem) async throws {
            let command = try await system.run(["perdure", "upgarde", "a"], check: false)
            #expect(command.status == 64 && command.stderr.contains("did you mean 'upgrade'?"), "\(command)")
            for (words, meant) in [
                (["help", "upgarde"], "upgrade"), (["memory", "ballon", "a", "1G"], "memory balloon"),
                (["dunp", "a", "/run/a"], "dump"), (["delte", "a"], "delete"), (["eddit", "a"], "edit"),
                (["upgrade", "--outdate", "--all"], "--outdated"), (["delete", "--disk", "a"], "--disks"),
            ] {
                let said = try await system.run(["perdure"] + words, check: false)
                #expect(said.status == 64 && said.stderr.lowercased().contains("did you mean '\(meant)'?"), "\(said)")
            }
            // Every command that takes a guest's name.
            for words in [
                ["status"], ["check"], ["diff"], ["console"], ["history"], ["pause"], ["hold"], ["save"], ["exec"],
                ["load"],
                ["resume"], ["reset"], ["powerdown"], ["kill"], ["upgrade"], ["memory"], ["edit"], ["delete"],
                ["dump", "/run/x"], ["check", "--handover"],
            ] {
                let said = try await system.run(["perdure", words[0], "idel"] + words.dropFirst(), check: false)
                #expect(said.status != 0 && said.stderr.contains("did you mean"), "\(words): \(said)")
                #expect(said.stderr.contains("'idle'?"), "\(words): \(said)")
            }
            let guest = try await system.run(["perdure", "status", "idel"], check: false)
            #expect(guest.status == 69 && guest.stderr.contains("did you mean 'idle'?"), "\(guest)")
            let off = try await system.run(["perdure", "status", "idle"], check: false)
            #expect(off.status == 69 && off.stderr.contains("systemctl start perdure@idle"), "\(off)")
        }

        private func expectTable(_ system: BootedSystem) async throws {
            let lines = try await system.run(["perdure", "list"]).stdout.split(separator: "\n")
            #expect(lines.count == 5 && lines[0].hasPrefix("GUEST  STATE"), "\(lines)")
            #expect(lines.allSatisfy { !$0.contains("\u{1B}") })
            let terminal = "script -qec 'stty cols 80; perdure list' /dev/null"
            let coloured = try await system.run(["sh", "-c", "TERM=linux \(terminal)"]).stdout
            #expect(coloured.contains("\u{1B}[32mrunning"), "\(coloured)")
            let plain = try await system.run(["sh", "-c", "TERM=linux NO_COLOR=1 \(terminal)"]).stdout
            #expect(plain.contains("running") && !plain.contains("\u{1B}[32m"), "\(plain)")
        }
    }
}
