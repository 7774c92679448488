import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What an administrator is told of a guest by the journal, and by what is made from it.
    @Suite struct ReportTests {
        @Test func whatAnAdministratorIsTold() async throws {
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
                try await expectDiagnosis(of: guest)
                try await expectMetrics(of: guest)
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

        /// machined knows the guest, across supervisors, and powers it off in order.
        private func expectMachine(of guest: RunningGuest) async throws {
            let system = guest.system
            func machines() async throws -> [String] {
                let list = try await system.run(["machinectl", "list", "--no-legend", "--no-pager"]).stdout
                return list.split(separator: "\n").map { line in
                    line.split(separator: " ").prefix(3).joined(separator: " ")
                }
            }
            try await system.run(["systemctl", "enable", "--now", "perdure-machine@web.service"])
            #expect(try await machines() == ["web vm perdure"])
            try await guest.systemctl("restart")
            try await system.waitUntil("machined to know the guest again") {
                try await machines() == ["web vm perdure"]
            }
            try await guest.expectGuestIntact()
            try await guest.killSupervisor()
            try await system.waitUntil("machined to know the guest again") {
                try await machines() == ["web vm perdure"]
            }
            try await guest.expectGuestIntact()
            try await system.run(["machinectl", "poweroff", "web"])
            try await guest.expectGone()
            #expect(try guest.console.verified().ending == .powerOff)
            try await system.waitUntil("machined to forget the guest") { try await machines().isEmpty }
            #expect(try await system.property("perdure-machine@web.service", "Result") == "success")
        }

        private struct Diagnosis: Decodable {
            struct Finding: Decodable {
                let severity: String
                let identifier: String
                let remedy: String
            }

            let findings: [Finding]
        }

        private func expectDiagnosis(of guest: RunningGuest) async throws {
            func diagnose(status: Int32) async throws -> [String] {
                let output = try await guest.system.run(["perdure", "doctor", "--json"], check: false)
                #expect(output.status == status, "\(output)")
                let findings = try JSONDecoder().decode(Diagnosis.self, from: Data(output.stdout.utf8)).findings
                #expect(findings.allSatisfy { !$0.remedy.isEmpty })
                #expect(findings.contains { $0.severity == "problem" } == (status != 0))
                return findings.map(\.identifier)
            }
            let here = try await diagnose(status: 0)
            #expect(here.contains("unit-not-enabled"))
            #expect(!here.contains { $0.hasPrefix("store-") || $0.hasPrefix("qemu-") || $0.hasPrefix("definition-") })
            try await guest.dropIn("[Service]\nFileDescriptorStoreMax=63\n")
            #expect(try await diagnose(status: 1).contains("store-lowered"))
            try await guest.removeDropIn()
            let text = try await guest.system.run(["perdure", "doctor"]).stdout
            #expect(text.contains("QEMU:       7.2") && text.contains("[unit-not-enabled]"))
        }

        private func expectMetrics(of guest: RunningGuest) async throws {
            let system = guest.system
            func value(_ series: String, in page: String) throws -> Double {
                let line = try #require(page.split(separator: "\n").first { $0.hasPrefix("\(series) ") }, "\(series)")
                return try #require(Double(line.dropFirst(series.count + 1)))
            }
            let page = try await system.run(["perdure", "metrics"]).stdout
            // The supervisor that did the handover is gone.
            #expect(try value(#"perdure_guest_handovers_total{guest="web",result="done"}"#, in: page) == 1)
            #expect(try value(#"perdure_guest_handovers_total{guest="web",result="refused"}"#, in: page) == 1)
            #expect(try value(#"perdure_guest_handover_pause_seconds_count{guest="web"}"#, in: page) == 1)
            let pause = try #require(try await guest.status().lastPauseUsec)
            #expect(
                try value(#"perdure_guest_handover_pause_seconds_sum{guest="web"}"#, in: page) == Double(pause) / 1e6
            )
            #expect(try value(#"perdure_guest_generation{guest="web"}"#, in: page) == 2)
            #expect(try value(#"perdure_guest_state{guest="web",state="running"}"#, in: page) == 1)
            #expect(try value(#"perdure_guest_memory_bytes{guest="web"}"#, in: page) == Double(guest.plan.ramMiB << 20))
            #expect(
                try value(#"perdure_guest_memory_used_bytes{guest="web"}"#, in: page)
                    >= Double(guest.plan.testedMiB << 20)
            )
            #expect(try value(#"perdure_guest_process_memory_bytes{guest="web"}"#, in: page) > 1e6)
            #expect(try value(#"perdure_guest_console_output_bytes_total{guest="web"}"#, in: page) > 0)
            let written = #"perdure_guest_disk_written_bytes_total{guest="web",disk="root"}"#
            #expect(try value(written, in: page) > 0)
            #expect(try value(#"perdure_guest_disk_flushes_total{guest="web",disk="root"}"#, in: page) > 0)

            // Over HTTP, by a program that is started for it and may do nothing but ask.
            try await system.run(["systemctl", "start", "perdure-metrics.socket"])
            let get =
                "exec 3<>/dev/tcp/127.0.0.1/9971; printf 'GET /metrics HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; cat <&3"
            let answer = try await system.run(["bash", "-c", get]).stdout
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(try value(written, in: answer) >= value(written, in: page))
            let other = try await system.run(["bash", "-c", get.replacing("/metrics ", with: "/ ")]).stdout
            #expect(other.hasPrefix("HTTP/1.1 404 Not Found\r\n"))

            // For the node exporter.
            try await system.run(["mkdir", "-p", "/var/lib/prometheus/node-exporter"])
            try await system.run(["systemctl", "start", "perdure-metrics.service"])
            let directory = "/var/lib/prometheus/node-exporter"
            #expect(try await system.run(["ls", "-A", directory]).stdout == "perdure.prom\n")
            #expect(try await system.run(["stat", "-c", "%a", "\(directory)/perdure.prom"]).stdout == "644\n")
            #expect(try value(written, in: try await system.read("\(directory)/perdure.prom")) > 0)
            #expect(try await system.property("perdure-metrics.service", "Result") == "success")

            try await expectMachine(of: guest)
            let off = try await system.run(["perdure", "metrics"]).stdout
            #expect(try value(#"perdure_guest_up{guest="web"}"#, in: off) == 0)
            #expect(off.split(separator: "\n").filter { $0.contains(#"guest="web""#) }.count == 1)
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
