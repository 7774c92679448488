import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Guests of an ordinary user, in the user's own manager. Nothing of theirs is root's.
    @Suite struct UserModeTests {
        @Test func ordinaryUserHasGuests() async throws {
            try await withBootedSystem { system in
                try await keepJournalsApart(on: system)
                let user = try await TestUser.make("dev", on: system)
                // A guest of the system's has the same name, and is not meant.
                let other = try await RunningGuest(on: system)
                let guest = try await RunningGuest(GuestPlan(user: user), on: system)
                try await guest.expectGuestIntact()
                try expectOwner(user, of: guest)

                for number in 2...5 {
                    try await guest.perdure("upgrade")
                    #expect(try await guest.status().generation == number)
                }
                try await guest.systemctl("reload")
                try await guest.systemctl("restart")
                try await guest.expectReceived(generation: 6)
                let pid = try #require(try await guest.expectGuestIntact().pid)
                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 7)
                try await guest.expectGuestIntact(pid: pid)
                for verb in ["daemon-reload", "daemon-reexec"] {
                    try await system.run(guest.plan.systemctl(verb))
                    try await guest.expectGuestIntact(pid: pid)
                }
                try await system.run(["systemctl", "daemon-reexec"])
                try await guest.expectGuestIntact(pid: pid)
                #expect(try await guest.journal(.handoverDone).filter { $0["_UID"] == "\(user.number)" }.count == 6)

                try await expectCommands(guest)
                try await expectRefusals(guest)
                #expect(try await other.expectGuestIntact().generation == 1)
                try expectOwner(user, of: guest)
                try await expectRemovalOfThePackageAsks(guest)
                try await other.expectGone()
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        @Test(.needs(.trixie)) func ordinaryUserHasGuestsUnderSystemd257() async throws {
            try await withBootedSystem(over: .trixie) { system in
                // The tree has no libpam-systemd, which tells a user's manager so.
                let directory = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
                try await system.write("/etc/systemd/system/user@.service.d/50-test.conf", directory)
                try await system.run(["systemctl", "daemon-reload"])
                let user = try await TestUser.make("dev", on: system)
                let guest = try await RunningGuest(GuestPlan(user: user), on: system)
                try expectOwner(user, of: guest)
                try await guest.perdure("upgrade")
                try await guest.systemctl("restart")
                try await guest.expectReceived(generation: 2)
                let pid = try #require(try await guest.expectGuestIntact().pid)
                try await guest.killSupervisor()
                try await system.run(guest.plan.systemctl("daemon-reexec"))
                #expect(try await guest.expectGuestIntact(pid: pid).generation == 3)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        /// The package goes only when there are no guests, or is told to power them off, those of users as well.
        private func expectRemovalOfThePackageAsks(_ guest: RunningGuest) async throws {
            let system = guest.system
            let script = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../packaging/debian/perdure.prerm").standardized
            try await system.write("/run/prerm", String(contentsOf: script, encoding: .utf8))
            let refused = try await system.run(["sh", "/run/prerm", "remove"], check: false)
            #expect(refused.status == 1, "\(refused)")
            #expect(refused.stderr.contains("  perdure@web.service\n"))
            #expect(refused.stderr.contains("  user dev: perdure@web.service\n"))
            try await guest.expectGuestIntact()
            try await system.run(["touch", "/run/perdure/force-remove"])
            try await system.run(["sh", "/run/prerm", "remove"], deadline: .seconds(180))
        }

        /// Only what is kept on disk has a file for each user.
        private func keepJournalsApart(on system: BootedSystem) async throws {
            try await system.write("/etc/systemd/journald.conf.d/95-test.conf", "[Journal]\nStorage=persistent\n")
            try await system.run(["mkdir", "-p", "/var/log/journal"])
            try await system.run(["systemctl", "restart", "systemd-journald"])
            try await system.run(["journalctl", "--flush"])
        }

        private func expectOwner(_ user: TestUser, of guest: RunningGuest) throws {
            let all = try guest.system.processes().filter { process in
                process.cgroup.hasPrefix(user.group) && process.cgroup.contains("perdure")
            }
            #expect(all.count == 2)
            for process in all {
                let status = try String(contentsOfFile: "/proc/\(process.hostPID)/status", encoding: .utf8)
                let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Uid:") })
                #expect(line == "Uid:\t\(user.number)\t\(user.number)\t\(user.number)\t\(user.number)")
                #expect(status.contains("CapEff:\t0000000000000000\n") && status.contains("NoNewPrivs:\t1\n"))
            }
        }

        private func expectCommands(_ guest: RunningGuest) async throws {
            let (system, plan) = (guest.system, guest.plan)
            func perdure(_ arguments: String...) async throws -> Output {
                try await system.run(plan.owner(["perdure"] + arguments), check: false)
            }
            #expect(try await perdure("list", "--user").stdout.contains("running"))
            let history = try await perdure("history", "--user", "web")
            #expect(history.stdout.contains("handover"), "\(history)")
            #expect(try await perdure("console", "--user", "--no-follow", "web").stdout.contains("tick="))
            #expect(try await perdure("check", "--user", "web").stdout.contains("/home/dev/.config/perdure/web.guest"))
            #expect(try await perdure("check", "--user", "--handover", "web").status == 0)
            // Without --user the system's is meant, which is not for this user.
            let others = try await perdure("status", "web")
            #expect(others.status == 1 && others.stderr.contains("members of the group 'perdure'"))
            let unknown = try await perdure("status", "--user", "wev")
            #expect(unknown.status == 69 && unknown.stderr.contains("did you mean 'web'?"))

            #expect(!(try await perdure("doctor", "--user")).stdout.contains("[not-lingering]"))
            try await system.run(["rm", "/var/lib/systemd/linger/dev"])
            let doctor = try await perdure("doctor", "--user")
            #expect(doctor.stdout.contains("[not-lingering]") && doctor.stdout.contains("loginctl enable-linger"))
            try await system.run(["touch", "/var/lib/systemd/linger/dev"])

            let image = "/home/dev/image.qcow2"
            try await system.run(plan.owner(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"]))
            let created = try await perdure("create", "--user", "new", "--image", image, "--memory", "128M")
            #expect(created.status == 0 && created.stdout.contains("systemctl --user enable --now perdure@new"))
            let made = ["/home/dev/.config/perdure/new.guest", "/home/dev/.local/state/perdure/new/disk.qcow2"]
            #expect(try await system.run(["stat", "-c", "%U"] + made).stdout == "dev\ndev\n")
            try await expectOrdinaryLife(of: "new", plan, on: system)
            let bridge = try await perdure("create", "--user", "more", "--image", image, "--bridge", "br0")
            #expect(bridge.status == 64 && bridge.stderr.contains("QEMU's own NAT only"))
        }

        /// What a person does with a guest, from its first start to its deletion.
        private func expectOrdinaryLife(of name: String, _ plan: GuestPlan, on system: BootedSystem) async throws {
            func perdure(_ arguments: String...) async throws -> Output {
                try await system.run(plan.owner(["perdure"] + arguments), check: false)
            }
            let unit = "perdure@\(name).service"
            let wants = "/home/dev/.config/systemd/user/default.target.wants/\(unit)"
            try await system.run(plan.systemctl("enable", "--now", unit))
            #expect(try await system.run(["readlink", wants]).stdout == "/usr/lib/systemd/user/perdure@.service\n")
            let status = try await perdure("status", "--user", name)
            #expect(status.stdout.hasPrefix("\(name): Running in VM process 1"), "\(status)")
            // What the supervisor has logged, and the user's manager about it.
            #expect(status.stdout.contains("Guest '\(name)' runs in VM process 1"), "\(status)")
            #expect(status.stdout.contains("Started"), "\(status)")

            try await system.write("/run/editor", "#!/bin/sh\nprintf '[Handover]\\nSaveTimeoutSec=7\\n' >\"$1\"\n")
            try await system.run(["chmod", "755", "/run/editor"])
            let edit = ["env", "EDITOR=/run/editor", "perdure", "edit", "--user", name]
            let edited = try await system.run(plan.owner(edit), check: false)
            let dropIn = "/home/dev/.config/perdure/\(name).guest.d/override.conf"
            #expect(edited.status == 0 && edited.stdout.contains("Wrote '\(dropIn)'."), "\(edited)")
            #expect(edited.stdout.contains("[Handover] SaveTimeoutSec="), "\(edited)")
            #expect(try await system.run(["stat", "-c", "%U", dropIn]).stdout == "dev\n")

            let running = try await perdure("delete", "--user", name)
            #expect(running.status == 75 && running.stderr.contains("'systemctl --user disable --now \(unit)' first"))
            #expect(try await perdure("kill", "--user", name).status == 0)
            try await system.run(plan.systemctl("disable", "--now", unit))
            let deleted = try await perdure("delete", "--user", "--disks", name)
            #expect(deleted.status == 0, "\(deleted)")
            let left = try await system.run(
                ["find", "/home/dev/.config/perdure", "/home/dev/.local/state/perdure", "-name", "\(name)*"]
            )
            #expect(left.stdout == "", "\(deleted)")
        }

        /// What takes more than a user has is refused with the reason, before anything is started.
        private func expectRefusals(_ guest: RunningGuest) async throws {
            for (name, sections, reason) in [
                ("tap", ["[Network lan]", "Type=tap"], "only root makes interfaces"),
                ("lock", ["[Memory]", "Lock=yes"], "set LimitMEMLOCK= of 'user@"),
                ("disk", ["[Disk d]", "Image=/root/disk.img", "Format=raw"], "/root/disk.img"),
            ] {
                var plan = GuestPlan(name: name, user: guest.plan.user)
                plan.sections = sections
                try await plan.write(to: guest.system)
                let start = try await guest.system.run(plan.systemctl("start", plan.unit), check: false)
                #expect(start.status != 0)
                let messages = try await guest.system.journal("PERDURE_GUEST=\(name)").compactMap { $0["MESSAGE"] }
                #expect(messages.contains { $0.contains(reason) }, "\(name): \(messages)")
            }
        }
    }
}
