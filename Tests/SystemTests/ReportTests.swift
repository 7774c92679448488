import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What an administrator is told of a guest by the journal, and by what is made from it.
    @Suite struct ReportTests {
        @Test func whatTheJournalKnows() async throws {
            try await withBootedSystem { system in
                let talker = try await QEMUWrapper.lastWords.install(on: system)
                let watch = ["systemd-run", "--quiet", "--unit=watch", "-p", "StandardOutput=file:/run/watch"]
                try await system.run(watch + ["perdure", "watch", "--json", "-n", "0"])
                let guest = try await RunningGuest(GuestPlan(qemu: talker), on: system)
                try await guest.systemctl("restart")
                let broken = try await QEMUWrapper.endsAsVMProcess.install(on: system)
                try await guest.perdure("upgrade", "--qemu", broken, check: false)
                try await guest.killSupervisor()
                try await guest.expectGuestIntact()
                // All that follows reads what has been logged by now.
                try await system.run(["journalctl", "--sync"])
                try await expectHistory(of: guest)
                try await expectQEMUsWords(in: guest)
                try await expectWatched(guest)
                try await expectCompletion(of: guest)
            }
        }

        private struct Record: Decodable {
            let event: String
            let guest: String
            let generation: Int?
            let pauseUsec: Int?
            let phasesUsec: [String: Int]?
            let step: String?
            let reason: String?
            let timeUsec: UInt64
        }

        private func records(_ output: String) throws -> [Record] {
            try output.split(separator: "\n").map { try JSONDecoder().decode(Record.self, from: Data($0.utf8)) }
        }

        private func expectHistory(of guest: RunningGuest) async throws {
            let history = try records(try await guest.perdure("history", "--json").stdout)
            #expect(
                history.map(\.event) == ["guest-started", "adopted", "handover-done", "handover-undone", "adopted"]
            )
            #expect(history.map(\.generation) == [1, 1, 2, 2, 2])
            let pause = try await guest.status().lastPauseUsec
            #expect(history[2].pauseUsec == pause)
            let phases = try #require(history[2].phasesUsec)
            #expect(phases["save-state"] != nil && phases["load-state"] != nil)
            #expect(history[3].step == "start-vm-process" || history[3].step == "connect")
            #expect(history[3].reason?.contains("farewell") == true)

            let lastTwo = try records(try await guest.perdure("history", "--json", "-n", "2").stdout)
            #expect(lastTwo.map(\.event) == ["handover-undone", "adopted"])
            let recent = try await guest.perdure("history", "--json", "--since", "1h ago", "-n", "3")
            #expect(try records(recent.stdout).map(\.event) == ["handover-done", "handover-undone", "adopted"])
            let wrong = try await guest.perdure("history", "--since", "soon", check: false)
            #expect(wrong.status == 64 && wrong.stderr.contains("'soon' is not a time"))

            // No terminal: nothing but ASCII.
            let text = try await guest.perdure("history").stdout
            #expect(text.utf8.allSatisfy { $0 < 128 })
            let lines = text.split(separator: "\n")
            #expect(lines.first?.hasPrefix("TIME ") == true)
            #expect(lines.contains { $0.contains("  handed over          2  ") && $0.contains("prepare ") })
            #expect(lines.last?.hasPrefix("Pauses: #  ") == true)

            let stranger = try await guest.system.run(["perdure", "history", "nobody"], check: false)
            #expect(stranger.status == 1)
        }

        /// QEMU's own words are in the journal of the guest's unit, each once, whoever supervises it.
        private func expectQEMUsWords(in guest: RunningGuest) async throws {
            let said = try await guest.system.journal(
                unit: guest.unit,
                "MESSAGE_ID=\(JournalMessage.vmProcessSaid.rawValue)"
            )
            let words = said.filter { $0["MESSAGE"] == "famous last words" }
            #expect(words.map { $0["PERDURE_GENERATION"] } == ["1", "2"])
            #expect(said.contains { $0["MESSAGE"] == "farewell" })
            // As the package manager does it once the catalog has been installed.
            try await guest.system.run(["journalctl", "--update-catalog"])
            let explained = try await guest.system.run(["journalctl", "-x", "--no-pager", "-u", guest.unit]).stdout
            #expect(explained.contains("Guest web was handed over"))
        }

        /// bash completes the names of guests.
        private func expectCompletion(of guest: RunningGuest) async throws {
            let script = #"""
                . /usr/share/bash-completion/completions/perdure
                COMP_LINE="perdure history w" COMP_POINT=17 COMP_WORDS=(perdure history w) COMP_CWORD=2
                _perdure
                printf '%s\n' "${COMPREPLY[@]}"
                """#
            #expect(try await guest.system.run(["bash", "-c", script]).stdout == "web\n")
            for (shell, file) in [
                ("zsh", "zsh/vendor-completions/_perdure"), ("fish", "fish/vendor_completions.d/perdure.fish"),
            ] {
                try await guest.system.run([shell, "-n", "/usr/share/\(file)"])
            }
        }

        private func expectWatched(_ guest: RunningGuest) async throws {
            try await guest.system.waitUntil("the adoption to be watched") {
                try await guest.system.read("/run/watch").contains(#""event":"adopted""#)
            }
            let watched = try records(try await guest.system.read("/run/watch"))
            let wanted = [
                "guest-starting", "guest-started", "handover-began", "handover-done", "handover-undone", "adopted",
            ]
            #expect(Set(wanted).isSubset(of: watched.map(\.event)))
            #expect(watched.map(\.timeUsec) == watched.map(\.timeUsec).sorted())
            // Whoever is not the guests' owner can put nothing into their history.
            let forge = """
                printf 'MESSAGE_ID=b8aad5f562054269a1072e1a4fcaf977\\nPERDURE_GUEST=web\\nMESSAGE=forged\\n' | logger --journald
                """
            try await guest.system.run(["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", forge])
            try await guest.system.run(["journalctl", "--sync"])
            #expect(try await guest.journal(.lost).count == 1)
            let events = try records(try await guest.perdure("history", "--json").stdout).map(\.event)
            #expect(events.last == "adopted")
        }
    }
}
