import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What the command line prints, for people and for programs, and what it does to definitions.
    @Suite struct CommandTests {
        @Test func aGuestIsAskedEditedAndDeleted() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(testedMiB: 8, diskFormat: "qcow2"), on: system)
                try await expectJSON(of: guest)
                try await expectProgress(of: guest)
                try await expectStatus(of: guest)
                try await expectNothingHangs(guest)
                try await expectEdits(of: guest)
                try await guest.expectGuestIntact()
                try await expectDeletion(of: guest)
            }
        }

        // MARK: JSON and progress

        /// One object on one line, and nothing else.
        @discardableResult
        private func json(_ system: BootedSystem, _ words: [String], status: Int32 = 0) async throws -> [String: Any] {
            let output = try await system.run(["perdure"] + words, deadline: .seconds(120), check: false)
            #expect(output.status == status, "\(words): \(output)")
            #expect(output.stdout.hasSuffix("}\n") && output.stdout.dropLast().allSatisfy { $0 != "\n" }, "\(words)")
            #expect(output.stderr == "", "\(words): \(output.stderr)")
            return try #require(
                try JSONSerialization.jsonObject(with: Data(output.stdout.utf8)) as? [String: Any],
                "\(words)"
            )
        }

        private func expectJSON(of guest: RunningGuest) async throws {
            let system = guest.system
            let verbs = [
                ("pause", "paused"), ("resume", "running"), ("save", "saved"), ("exec", "waiting"), ("load", "running"),
                ("hold", "saved"), ("resume", "running"),
            ]
            for (verb, state) in verbs {
                #expect(try await json(system, [verb, "--json", "web"])["state"] as? String == state, "\(verb)")
            }
            for words in [["upgrade"], ["upgrade", "--dry-run"]] {
                let guests = try await json(system, words + ["--json", "web"])["guests"] as? [[String: Any]]
                #expect(guests?.map { $0["outcome"] as? String } == ["done"])
                #expect(guests?.first?["pauseUsec"] is Int && guests?.first?["qemuVersion"] is String)
            }
            let memory = try await json(system, ["memory", "--json", "web"])
            #expect((memory["blocks"] as? [[String: Any]])?.first?["bytes"] as? Int == 128 << 20)
            #expect(try await json(system, ["diff", "--json", "web"])["needPowerCycle"] as? [String] == [])
            #expect(try await json(system, ["check", "--json", "web"])["cpus"] as? Int == 1)
            #expect(try await json(system, ["check", "--handover", "--json", "web"])["findings"] is [Any])
            #expect(try await json(system, ["list", "--json"])["guests"] is [Any])
            let metrics = try await json(system, ["metrics", "--json"])["guests"] as? [[String: Any]]
            #expect((metrics?.first?["metrics"] as? [String: Any])?["ramBytes"] as? Int == 128 << 20)
            let status = try await json(system, ["status", "--json", "web"])
            #expect(status["state"] as? String == "running" && status["journal"] == nil)
            let journal = try await json(system, ["status", "--json", "-n", "3", "web"])["journal"] as? [[String: Any]]
            #expect(journal?.count == 3 && journal?.allSatisfy { $0["message"] is String } == true)

            // What is wrong with a definition has its place.
            try await system.write("/etc/perdure/wrong.guest", "[Guest]\nMachin=q35\n")
            let problems = try await json(system, ["check", "--json", "wrong"], status: 78)["problems"]
            let places = (problems as? [[String: Any]])?.map {
                "\($0["file"] ?? ""):\($0["line"] ?? 0):\($0["column"] ?? 0)"
            }
            #expect(places?.contains("/etc/perdure/wrong.guest:2:1") == true, "\(problems ?? "")")
            try await system.run(["rm", "/etc/perdure/wrong.guest"])
        }

        private func onTerminal(_ system: BootedSystem, _ command: String, _ terminal: String) async throws -> String {
            let script = "TERM=\(terminal) script -qec 'stty cols 80; \(command)' /dev/null"
            return try await system.run(["sh", "-c", script], deadline: .seconds(120)).stdout
        }

        private func expectProgress(of guest: RunningGuest) async throws {
            let system = guest.system
            let shown = try await onTerminal(system, "perdure upgrade web", "linux")
            let lines = shown.components(separatedBy: "\r\u{1B}[K")
            #expect(lines.contains { $0.hasPrefix("web: Handing over to the next VM process (") }, "\(shown)")
            #expect(lines.dropFirst().dropLast().allSatisfy { $0.count < 80 }, "\(shown)")
            // The last that is there is the answer, on an empty line.
            #expect(lines.last?.hasPrefix("web: Running in VM process") == true, "\(shown)")
            for (command, terminal) in [
                ("perdure upgrade web", "dumb"), ("perdure upgrade --json web", "linux"),
                ("perdure upgrade web 2>/dev/null", "linux"),
            ] {
                let shown = try await onTerminal(system, command, terminal)
                #expect(!shown.contains("\u{1B}"), "\(command): \(shown)")
            }
            #expect(try await guest.perdure("upgrade").stderr == "")
        }

        private func expectStatus(of guest: RunningGuest) async throws {
            try await guest.system.run(["journalctl", "--sync"])
            let lines = try await guest.perdure("status").stdout.split(
                separator: "\n",
                omittingEmptySubsequences: false
            )
            #expect(lines.first?.hasPrefix("web: Running in VM process") == true)
            #expect(lines.count == 13 && lines[1].isEmpty, "\(lines)")
            #expect(lines.contains { $0.contains("  Guest 'web' runs in VM process") }, "\(lines)")
            #expect(try await guest.perdure("status", "-n", "0").stdout.split(separator: "\n").count == 1)
            let terminal = try await onTerminal(guest.system, "perdure status web", "linux")
            let rows = terminal.split { $0.isNewline }
            #expect(rows.dropFirst().allSatisfy { $0.count <= 80 + 9 }, "\(rows)")
        }

        // MARK: Speed

        /// Neither the start of the program nor a supervisor that does not answer keeps a list waiting.
        private func expectNothingHangs(_ guest: RunningGuest) async throws {
            let system = guest.system
            // Of the processor: this machine may have other things to do.
            let start = try await Timing.of(["perdure", "--version"], times: 20, on: system, ofProcessor: true)
            #expect(start.median < .milliseconds(10), "\(start)")
            let supervisor = "\(try await guest.mainPID())"
            try await system.run(["kill", "-STOP", supervisor])
            // It has no room for more connections, either.
            var waiting: [SocketClient] = []
            let path = system.hostPath("/run/perdure/web/control")
            while waiting.count < 100, let client = try? SocketClient(path, deadlineSeconds: 1) {
                waiting.append(client)
            }
            #expect(waiting.count < 100)
            let timing = try await Timing.of(["perdure", "list"], times: 1, on: system)
            let listed = try await system.run(["perdure", "list"]).stdout
            try await system.run(["kill", "-CONT", supervisor])
            #expect(timing.least < .seconds(2), "\(timing)")
            #expect(listed.contains("web    silent"), "\(listed)")
            waiting = []
            try await guest.expectGuestIntact()
        }

        // MARK: edit

        /// Runs `edit` with an editor that puts one text after the other into its file.
        private func edit(_ guest: RunningGuest, _ options: [String], _ texts: String..., answers: String? = nil)
            async throws -> Output
        {
            let system = guest.system
            for (index, text) in texts.enumerated() { try await system.write("/run/text.\(index)", text) }
            let editor = #"""
                #!/bin/sh
                [ "$1" = --here ] || exit 9
                n=$(cat /run/edits 2>/dev/null || echo 0)
                echo $((n + 1)) >/run/edits
                cp "$2" "/run/seen.$n"
                [ ! -e "/run/text.$n" ] || cat "/run/text.$n" >"$2"
                """#
            try await system.write("/run/editor", editor)
            try await system.run(["chmod", "755", "/run/editor"])
            try await system.run(["rm", "-f", "/run/edits"])
            let command = (["perdure", "edit"] + options + ["web"]).joined(separator: " ")
            let script = answers == nil ? command : "script -qec '\(command)' /dev/null"
            let output = try await system.run(
                ["env", "EDITOR=/run/editor --here", "sh", "-c", script],
                input: answers ?? "",
                check: false
            )
            try await system.run(["sh", "-c", "rm -f /run/text.*"])
            return output
        }

        private func expectEdits(of guest: RunningGuest) async throws {
            let system = guest.system
            let dropIn = "/etc/perdure/web.guest.d/override.conf"
            // Nothing is written where nothing is said, and nothing is left.
            let nothing = try await edit(guest, [])
            #expect(nothing.status == 0 && nothing.stdout.contains("is as it was"), "\(nothing)")
            #expect(try await system.read("/run/seen.0").contains("# [RAM main]\n# Size=128M\n"))
            #expect(try await system.run(["ls", "-A", "/etc/perdure"]).stdout == "web.guest\n")

            let wrong = try await edit(guest, [], "[Handover]\nSaveTimeoutSec=7\n[RAM main]\nSiz=160M\n")
            #expect(wrong.status == 78 && wrong.stderr.contains("\(dropIn):4:1: "), "\(wrong)")
            #expect(wrong.stderr.contains("did you mean 'Size'?") && wrong.stderr.contains("left as it was"))
            #expect(try await system.run(["ls", "-A", "/etc/perdure"]).stdout == "web.guest\n")

            // With a terminal it can be mended; the text is the one that was wrong.
            let good = "[Handover]\nSaveTimeoutSec=7\n[RAM main]\nSize=160M\n"
            let bad = good.replacing("Size=160M", with: "Siz=160M")
            let mended = try await edit(guest, [], bad, good, answers: "x\ne\n")
            #expect(mended.status == 0 && mended.stdout.contains("Wrote '\(dropIn)'."), "\(mended)")
            #expect(try await system.read("/run/seen.1") == bad)
            #expect(mended.stdout.contains("[Handover] SaveTimeoutSec=") && mended.stdout.contains("power cycle"))
            #expect(try await system.read(dropIn) == good)
            #expect(try await system.run(["ls", "-A", "/etc/perdure/web.guest.d"]).stdout == "override.conf\n")
            let discarded = try await edit(guest, [], bad, answers: "d\n")
            #expect(discarded.status == 78, "\(discarded)")
            #expect(try await system.read(dropIn) == good)

            let failed = try await system.run(["env", "EDITOR=false", "perdure", "edit", "web"], check: false)
            #expect(failed.status == 1 && failed.stderr.contains("nothing is changed"), "\(failed)")
            let missing = try await system.run(["env", "EDITOR=/none", "perdure", "edit", "web"], check: false)
            #expect(missing.status == 1 && missing.stderr.contains("'/none' can't be run"), "\(missing)")
            let other = try await system.run(["perdure", "edit", "wbe"], check: false)
            #expect(other.status == 1 && other.stderr.contains("did you mean 'web'?"), "\(other)")

            // The definition itself, and what another has written meanwhile stays.
            try await system.run(["chmod", "640", guest.plan.path])
            let text = try await system.read(guest.plan.path)
            let full = try await edit(guest, ["--full", "--json"], "\(text)\n[CPU]\nCount=2\n")
            #expect(full.status == 0 && full.stdout.contains(#""changed":true"#), "\(full)")
            #expect(full.stdout.contains("[CPU] Count="), "\(full)")
            #expect(try await system.run(["stat", "-c", "%a", guest.plan.path]).stdout == "640\n")
            let racing = "[Handover]\nSaveTimeoutSec=9\n"
            try await system.write(
                "/run/racer",
                "#!/bin/sh\necho '[Handover]' >\(dropIn)\nprintf '\(racing)' >\"$1\"\n"
            )
            try await system.run(["chmod", "755", "/run/racer"])
            let raced = try await system.run(["env", "EDITOR=/run/racer", "perdure", "edit", "web"], check: false)
            #expect(raced.status == 75 && raced.stderr.contains("changed by another meanwhile"), "\(raced)")
            #expect(try await system.read(dropIn) == "[Handover]\n")
        }

        // MARK: delete

        private func expectDeletion(of guest: RunningGuest) async throws {
            let system = guest.system
            func refused(_ reason: String, _ options: String...) async throws {
                let output = try await system.run(["perdure", "delete", "web"] + options, check: false)
                #expect(output.status == 75 && output.stderr.contains(reason), "\(output)")
                #expect(try await system.read(guest.plan.path).contains("[Guest]"))
            }
            try await refused("its unit is active", "--disks")
            try await guest.perdure("hold")
            try await refused("its unit is active")
            try await guest.perdure("resume")
            try await system.run(["systemctl", "enable", guest.unit])
            #expect(try await json(system, ["kill", "--json", "web"])["state"] as? String == "ended")
            try await guest.expectGone()
            try await refused("'systemctl disable --now \(guest.unit)' first")
            try await system.run(["systemctl", "disable", guest.unit])

            // What it has besides, and what others have of it.
            try await system.run(["mkdir", "-p", "/var/lib/perdure/web"])
            let dump = "/var/lib/perdure/web/web.20260131T235959Z.core"
            for path in ["/var/lib/perdure/web/authorized_keys", "/var/lib/perdure/web/notes", dump] {
                try await system.write(path, "x")
            }
            var twin = guest.plan
            twin.name = "twin"
            try await system.run(["ln", "-s", guest.plan.image, "/var/lib/guests/alias"])
            try await system.write(
                twin.path,
                guest.plan.definition.replacing(guest.plan.image, with: "/var/lib/guests/alias")
            )

            let kept = try await system.run(["perdure", "delete", "web"]).stdout
            for path in [guest.plan.path, "\(guest.plan.path).d", "/var/lib/perdure/web/authorized_keys"] {
                #expect(kept.contains("Deleted '\(path)'."), "\(kept)")
            }
            #expect(kept.contains("Deleted '/var/lib/perdure/users/"), "\(kept)")
            for path in [guest.plan.image, "/var/lib/perdure/web/notes", dump] {
                #expect(kept.contains("Kept '\(path)'"), "\(kept)")
                try await system.run(["test", "-e", path])
            }
            #expect(try await system.run(["ls", "-A", "/etc/perdure"]).stdout == "twin.guest\n")
            let gone = try await system.run(["perdure", "delete", "web"], check: false)
            #expect(gone.status == 1 && gone.stderr.contains("there is no guest 'web'"), "\(gone)")

            // Another's disk stays; where that can't be known, all stays.
            try await guest.plan.write(to: system)
            try await system.write("/etc/perdure/odd.guest", "[Guest]\nMachin=q35\n")
            let unknown = try await system.run(["perdure", "delete", "--disks", "web"], check: false)
            #expect(unknown.status == 78 && unknown.stderr.contains("'perdure check odd'"), "\(unknown)")
            try await system.run(["perdure", "delete", "odd"])
            let shared = try await json(system, ["delete", "--disks", "--json", "web"])
            let why = (shared["kept"] as? [[String: Any]])?.first { $0["path"] as? String == guest.plan.image }
            #expect(why?["reason"] as? String == "guest 'twin' has it, too", "\(shared)")
            #expect((shared["deleted"] as? [String])?.contains(dump) == true, "\(shared)")
            try await system.run(["rm", twin.path])
            try await guest.plan.write(to: system)
            try await system.run(["perdure", "delete", "--disks", "web"])
            #expect(try await system.run(["test", "-e", guest.plan.image], check: false).status == 1)
        }
    }
}
