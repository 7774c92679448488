import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Supervisors without their helper, and helpers that do not get to their answer: a guest is the worse for neither.
    @Suite struct HelperTests {
        private static let socket = "perdure-helper.socket"
        private static let dropIn = "/run/systemd/system/perdure-helper@.service.d/50-test.conf"
        private static let refusal = "helper can't be reached"

        /// One of the helpers that are started from now on is ended: 'before' it does anything, or in the 'middle', as
        /// soon as it has received its request.
        private static let faultyHelper = #"""
            #!/bin/sh
            flock /run/helpers sh -c 'n=$(($(cat /run/helpers) + 1)); echo $n >/run/helpers; echo $n' >/run/helper.$$
            n=$(cat /run/helper.$$); rm /run/helper.$$
            read -r moment faulty </run/faulty
            [ "$n" = "$faulty" ] || exec perdure helper
            echo "helper $n is ended, $moment" >&2
            [ "$moment" = middle ] || exit 1
            exec perl -e '
                use Socket;
                my $pid = fork() // die;
                if (!$pid) { exec("perdure", "helper") or die }
                sub pending { my $bytes = pack("i", 0); ioctl(STDIN, 0x541b, $bytes) or die; unpack("i", $bytes) }
                sub wait_until { my ($is_so) = @_; 1 until $is_so->() || waitpid($pid, 1) == $pid }
                wait_until(sub { pending() > 0 });
                wait_until(sub { pending() == 0 });
                kill(9, $pid);
            '
            """#

        @Test func aGuestOutlivesItsHelpers() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid
                #expect(try helpers(system).count == 1, "the VM process's parent")

                try await expectOthersAreRefused(system)
                // Of no use but to say how the VM process has ended.
                try await killHelpers(system)
                try await guest.expectGuestIntact(pid: pid)

                try await expectNothingWithoutTheSocket(guest)
                try await expectFaultsAreHarmless(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
                try await expectStartsFailCleanly(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                try await system.waitUntil("all helpers to end") { try helpers(system).isEmpty }
                #expect(try guest.diskLog().problems == [])
            }
        }

        /// Root is not enough: it must be a supervisor's process. A hostile service could have no capability but be root.
        private func expectOthersAreRefused(_ system: BootedSystem) async throws {
            let script = """
                use Socket;
                socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;
                connect($s, sockaddr_un('/run/perdure-helper')) or die $!;
                recv($s, my $reply, 16, 0);
                """
            let before = try helpers(system).map(\.pid)
            try await system.write("/run/stranger", script)
            for unit in ["stranger.service", "perdure-web-g9.service"] {
                let start = ["systemd-run", "--quiet", "--wait", "--collect", "--unit=\(unit)"]
                try await system.run(start + ["--property=CapabilityBoundingSet=", "perl", "/run/stranger"])
                try await system.waitUntil("the refusal to be logged") {
                    try await system.journal("_COMM=perdure").contains {
                        $0["PRIORITY"] == "4"
                            && $0["MESSAGE"]?.hasSuffix("in '\(unit)' is no guest's supervisor") == true
                    }
                }
            }
            // Nobody else gets as far.
            let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "perl", "/run/stranger"]
            let refused = try await system.run(other, check: false)
            #expect(refused.status != 0 && refused.stderr.contains("Permission denied"), "\(refused)")
            try await system.waitUntil("these helpers to end") { try helpers(system).map(\.pid) == before }
        }

        private func helpers(_ system: BootedSystem) throws -> [SystemProcess] {
            try system.processes().filter { $0.cgroup.contains("/perdure-helper@") }
        }

        private func killHelpers(_ system: BootedSystem) async throws {
            for helper in try helpers(system) { try await system.run(["kill", "-KILL", "\(helper.pid)"]) }
            try await system.waitUntil("the helpers to be gone") { try helpers(system).isEmpty }
        }

        /// What can't be done is said, with the reason; the guest runs on, whatever becomes of its supervisor.
        private func expectNothingWithoutTheSocket(_ guest: RunningGuest) async throws {
            let system = guest.system
            let before = try await guest.status()
            try await system.run(["systemctl", "mask", "--runtime", "--now", Self.socket])
            let refused = try await guest.perdure("upgrade", check: false)
            #expect(refused.status != 0)
            #expect(refused.stderr.contains(Self.refusal), "\(refused)")
            try await guest.expectGuestIntact(pid: before.pid)
            try await guest.killSupervisor()
            try await guest.expectGuestIntact(pid: before.pid)
            try await guest.systemctl("restart")
            try await guest.expectGuestIntact(pid: before.pid)
            let reason = try await guest.journal(.handoverUndone).last?["PERDURE_REASON"] ?? ""
            #expect(reason.contains(Self.refusal), "\(reason)")
            #expect(try await guest.journal(.guestStarted).count == 1)

            try await system.run(["systemctl", "unmask", "--runtime", Self.socket])
            try await system.run(["systemctl", "start", Self.socket])
            try await guest.perdure("upgrade")
            #expect(try await guest.expectGuestIntact().generation > before.generation)
        }

        private func arm(_ moment: String, _ number: Int, _ system: BootedSystem) async throws {
            try await system.write("/run/helpers", "0\n")
            try await system.write("/run/faulty", "\(moment) \(number)\n")
        }

        private func helpersStarted(_ system: BootedSystem) async throws -> Int {
            Int(try await system.read("/run/helpers").trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
        }

        private func install(_ system: BootedSystem) async throws {
            try await system.write("/run/faulty-helper", Self.faultyHelper)
            try await system.run(["chmod", "755", "/run/faulty-helper"])
            try await system.write(Self.dropIn, "[Service]\nExecStart=\nExecStart=/run/faulty-helper\n")
            try await system.run(["systemctl", "daemon-reload"])
        }

        /// Each of the requests of a handover, and of a recovery, loses its helper once.
        private func expectFaultsAreHarmless(_ guest: RunningGuest) async throws {
            let system = guest.system
            try await install(system)
            for moment in ["before", "middle"] {
                var number = 1
                while true {
                    try await arm(moment, number, system)
                    try await guest.perdure("upgrade", check: false)
                    try await guest.expectGuestIntact()
                    if try await helpersStarted(system) < number { break }
                    try await arm(moment, 0, system)
                    number += 1
                }
                #expect(number > 2, "a handover asks for more")
                for number in 1...2 {
                    try await arm(moment, number, system)
                    let pid = try await guest.status().pid
                    try await guest.killSupervisor()
                    try await guest.expectGuestIntact(pid: pid)
                }
            }
            #expect(try await guest.journal(.guestStarted).count == 1)
            try await arm("before", 0, system)
            let before = try await guest.status().generation
            try await guest.systemctl("restart")
            #expect(try await guest.expectGuestIntact().generation > before)
        }

        /// A guest that could not be started is started by the next attempt.
        private func expectStartsFailCleanly(_ guest: RunningGuest) async throws {
            let system = guest.system
            var number = 1
            while true {
                try await arm("before", number, system)
                if try await guest.systemctl("start", check: false).status == 0 { break }
                try await guest.expectGone(result: "exit-code")
                number += 1
            }
            #expect(number > 1)
            try await guest.followNewBoot()
            try await guest.expectGuestIntact()
        }

        /// systemd starts nothing during a shutdown that belongs to what is shut down: a held guest needs a VM process
        /// for it, all the same, and a helper for that.
        @Test(.needs(.trixie, .sid), arguments: [nil, DebianTree.trixie, .sid])
        func guestsArePoweredOffWithTheHost(tree: DebianTree?) async throws {
            try await withBootedSystem(over: tree) { system in
                // What is said during the shutdown is to be read after it.
                let keep = "rm /etc/systemd/journald.conf.d/*-perdure-test.conf; mkdir -p /var/log/journal"
                try await system.run(["sh", "-c", "\(keep); systemctl restart systemd-journald; journalctl --flush"])
                let web = try await RunningGuest(GuestPlan(name: "web"), on: system)
                let held = try await RunningGuest(GuestPlan(name: "held"), on: system)
                try await web.perdure("upgrade")
                try await held.perdure("hold")
                try await web.expectGuestIntact()
                try await system.reboot()
                for guest in [web, held] {
                    #expect(try await guest.journal(.stopping).count == 1, "\(guest.name)")
                    #expect(try await guest.journal(.poweredOff).count == 1, "\(guest.name)")
                    #expect(try await guest.journal(.lost).isEmpty, "\(guest.name)")
                    #expect(try await guest.journal(.stepWentOn).isEmpty, "\(guest.name)")
                    #expect(try guest.diskLog().problems == [], "\(guest.name)")
                }
                // Nothing of either is in the next life's way.
                try await held.startAgain()
                try await held.expectGuestIntact()
            }
        }
    }
}
