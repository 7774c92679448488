import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Members of the group `perdure` before the real polkit.
    @Suite struct AuthorityTests {
        @Test func polkitSaysWhoMayChangeGuests() async throws {
            try await withBootedSystem { system in
                try await system.run(["systemd-sysusers", "/usr/lib/sysusers.d/perdure.conf"])
                for user in ["member", "other"] { try await system.run(["useradd", "--groups", "perdure", user]) }
                try await system.run(["chpasswd"], input: "root:secret\n")
                let guest = try await RunningGuest(on: system)
                let pid = try #require(try await guest.status().pid)

                try await expectRefusalWithoutPolkit(guest)
                try await expectRefusalWithoutRule(guest)
                try await expectOneActionByRule(guest)
                try await guest.expectGuestIntact()
                try await expectQuestions(guest)
                try await guest.expectGuestIntact()
                #expect(try await guest.status().pid != pid)
            }
        }

        private func perdure(_ system: BootedSystem, as user: String, _ arguments: String...) async throws -> Output {
            try await system.run(become(user) + ["perdure"] + arguments, check: false)
        }

        private func become(_ user: String) -> [String] {
            ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
        }

        private func expectRefusalWithoutPolkit(_ guest: RunningGuest) async throws {
            let system = guest.system
            try await system.run(["systemctl", "mask", "--runtime", "--now", "polkit.service"])
            let output = try await perdure(system, as: "member", "pause", "web")
            #expect(output.status == 1)
            #expect(output.stderr.contains("only root may, since polkit can't be asked for 'io.perdure.pause-guest'"))
            try await system.run(["systemctl", "unmask", "--runtime", "polkit.service"])
        }

        private func expectRefusalWithoutRule(_ guest: RunningGuest) async throws {
            for (words, action) in [
                (["upgrade", "web"], "replace-vm-process"), (["hold", "web"], "pause-guest"),
                (["kill", "web"], "power-guest"), (["memory", "add", "web", "more", "128M"], "change-memory"),
                (["console", "--no-follow", "web"], "enter-guest"),
            ] {
                let output = try await guest.system.run(become("member") + ["perdure"] + words, check: false)
                #expect(output.status == 1)
                let refusal = "is not for this user: polkit asks for a password for 'io.perdure.\(action)'"
                #expect(output.stderr.contains(refusal), "\(output)")
            }
            #expect(try await guest.status().state == "running")
        }

        private func expectOneActionByRule(_ guest: RunningGuest) async throws {
            let system = guest.system
            let rule = """
                polkit.addRule(function (action, subject) {
                    if (action.id == "io.perdure.replace-vm-process" && action.lookup("guest") == "web"
                        && action.lookup("method") == "Upgrade" && subject.user == "member") return "yes";
                    if (action.id.indexOf("io.perdure.") == 0 && subject.user == "other") return "no";
                });
                """
            try await system.write("/etc/polkit-1/rules.d/10-test.rules", rule)
            try await system.run(["systemctl", "restart", "polkit.service"])
            let before = try await guest.status().generation
            let upgrade = try await perdure(system, as: "member", "upgrade", "web")
            #expect(upgrade.status == 0, "\(upgrade)")
            #expect(try await guest.status().generation == before + 1)
            for words in [["pause", "web"], ["upgrade", "--dry-run", "web"]] {
                let output = try await system.run(become("member") + ["perdure"] + words, check: false)
                #expect(output.status == 1 && output.stderr.contains("polkit asks for a password"), "\(output)")
            }
            let program = try await perdure(system, as: "member", "upgrade", "--qemu", "/tmp/qemu", "web")
            #expect(program.status == 1 && program.stderr.contains("only root may name one"))
            let other = try await perdure(system, as: "other", "upgrade", "web")
            #expect(other.stderr.contains("polkit does not allow 'io.perdure.replace-vm-process'"), "\(other)")
            #expect(try await guest.status().generation == before + 1)
        }

        /// A command on a terminal, whose question for a password waits.
        private func ask(_ system: BootedSystem, _ name: String, _ command: String) async throws {
            let script = """
                mkfifo /run/\(name).keys
                exec 3<>/run/\(name).keys
                exec script -qefc '\(become("member").joined(separator: " ")) \(command)' /run/\(name).log <&3
                """
            try await system.run(["systemd-run", "--quiet", "--unit=\(name)", "sh", "-c", script])
            try await system.waitUntil("polkit to ask for a password") {
                try await system.run(["cat", "/run/\(name).log"], check: false).stdout.contains("Password:")
            }
        }

        private func expectQuestions(_ guest: RunningGuest) async throws {
            let system = guest.system
            let log = ["--property=StandardOutput=file:/run/bus.log"]
            try await system.run(
                ["systemd-run", "--quiet", "--unit=bus"] + log + ["busctl", "monitor", "org.freedesktop.PolicyKit1"]
            )

            // The right password does it, and nothing else has to wait for it.
            try await ask(system, "right", "perdure pause web")
            #expect(try await system.read("/run/right.log").contains("to have guest 'web' stand still or go on."))
            #expect(try await guest.status().state == "running")
            let generation = try await guest.status().generation
            try await guest.perdure("upgrade")
            try await system.run(["sh", "-c", "echo secret >/run/right.keys"])
            try await system.waitUntil("the guest to be paused") { try await guest.status().state == "paused" }
            #expect(try await guest.status().generation == generation + 1)
            try await guest.perdure("resume")

            // Who goes away takes the question along, also where whoever is asked stays.
            try await system.write("/run/gone.pl", AuthorityTests.client)
            try await ask(system, "gone", #"sh -c "perl /run/gone.pl; sleep 1000""#)
            let asked = try await calls("CheckAuthorization", system)
            #expect(asked > 0)
            #expect(try await calls("CancelCheckAuthorization", system) == 0)
            let clients = try system.processes(named: "perl").filter { $0.cgroup.hasSuffix("/gone.service") }
            let client = try #require(clients.first)
            try await system.run(["kill", "-KILL", "\(client.pid)"])
            try await system.waitUntil("the question to be withdrawn") {
                try await calls("CancelCheckAuthorization", system) == 1
            }

            // A restart of the supervisor does not wait for an answer, either.
            try await ask(system, "late", "perdure pause web")
            try await guest.systemctl("restart")
            try await system.waitUntil("the command to end") {
                try await system.run(["systemctl", "is-active", "late.service"], check: false).status != 0
            }
            #expect(try await system.read("/run/late.log").contains("ended before it had answered"))

            // Whoever does not want to be asked is not.
            let silent = "script -qefc '\(become("member").joined(separator: " ")) perdure pause --no-ask-password web'"
            let output = try await system.run(["sh", "-c", "\(silent) /dev/null"], check: false)
            #expect(output.status == 1 && output.stdout.contains("there is nobody who could enter it"), "\(output)")
            #expect(try await guest.status().state == "running")
        }

        /// A client of the socket with an agent that it does not take along.
        private static let client = #"""
            use Socket;
            use Fcntl;
            socket(my $socket, AF_UNIX, SOCK_STREAM, 0);
            connect($socket, sockaddr_un("/run/perdure/web/control")) or die $!;
            pipe(my $ready, my $write);
            fcntl($write, F_SETFD, 0);
            my $self = $$;
            exec "pkttyagent", "--process", $self, "--notify-fd", fileno $write unless fork;
            close $write;
            sysread($ready, my $byte, 1);
            my $parameters = '{"allowInteractiveAuthentication":true}';
            syswrite($socket, qq({"method":"io.perdure.Guest.Pause","parameters":$parameters}\0));
            sysread($socket, my $reply, 1000);

            """#

        private func calls(_ method: String, _ system: BootedSystem) async throws -> Int {
            try await system.read("/run/bus.log").components(separatedBy: "Member=\(method)\n").count - 1
        }
    }
}
