import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// The same program under newer systemds, each with the QEMU of its Debian, and under one that is itself replaced.
    struct SystemdVersionTests {
        @Test(.needs(.trixie, .sid), arguments: [(DebianTree.trixie, "257", "10.0"), (.sid, "262", "11.1")])
        func guestOutlivesEverything(tree: DebianTree, systemd: String, qemu: String) async throws {
            try await withBootedSystem(over: tree) { system in
                #expect(try await version(of: system) == systemd)
                let guest = try await RunningGuest(on: system)
                let status = try await guest.expectGuestIntact()
                #expect(status.qemuVersion?.hasPrefix("\(qemu).") == true)
                try await expectIntrospection(of: guest)

                try await guest.systemctl("restart")
                try await guest.expectReceived(generation: 1)
                let pid = try await guest.expectGuestIntact().pid
                #expect(try await guest.status().generation == 2)
                try await expectNoWarnings(of: guest)
                try await Exposure.expectDocumented(on: system)

                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 2)
                try await guest.expectGuestIntact(pid: pid)
                for verb in ["daemon-reload", "daemon-reexec"] {
                    try await system.run(["systemctl", verb])
                    try await guest.expectGuestIntact(pid: pid)
                }
                try await guest.systemctl("reload")
                try await guest.systemctl("restart")
                #expect(try await guest.expectGuestIntact().generation == 4)

                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
                // Nothing of an earlier life is in the next one's way.
                try await guest.startAgain()
                #expect(try await guest.expectGuestIntact().generation == 1)
            }
        }

        /// systemd's own client understands what the control socket says of itself, and calls it.
        private func expectIntrospection(of guest: RunningGuest) async throws {
            let (system, socket) = (guest.system, "/run/perdure/web/control")
            let interfaces = try await system.run(["varlinkctl", "list-interfaces", socket]).stdout
            #expect(interfaces.split(separator: "\n").contains("io.perdure.Guest"), "\(interfaces)")
            let shown = try await system.run(["varlinkctl", "introspect", socket, "io.perdure.Guest"]).stdout
            for word in [
                "interface io.perdure.Guest", "method GetStatus(", "method Upgrade(", "method Dump(", "error Refused(",
            ] {
                #expect(shown.replacing(" (", with: "(").contains(word), "\(word): \(shown)")
            }
            let call = ["varlinkctl", "call", "--json=short", socket, "io.perdure.Guest.GetStatus", "{}"]
            let status = try await system.run(call).stdout
            #expect(status.contains(#""guest":"web""#) && status.contains(#""state":"running""#), "\(status)")
        }

        /// systemd has no complaint about the unit, nor about what is sent to it.
        private func expectNoWarnings(of guest: RunningGuest) async throws {
            let verify = try await guest.system.run(
                ["systemd-analyze", "verify", "--man=no", guest.unit],
                check: false
            )
            #expect(verify.stdout + verify.stderr == "")
            let complaints = try await guest.system.journal("_PID=1", "UNIT=\(guest.unit)").filter { entry in
                (entry["PRIORITY"].flatMap { Int($0) } ?? 0) <= 4
            }.compactMap { $0["MESSAGE"] }
            // The machine that runs the tests may have no such controller.
            #expect(complaints.filter { !$0.contains("Failed to read pids.max") } == [])
        }

        /// Debian's own way from one release's systemd to the next one's, by apt, C library and all.
        @Test(.needs(.bookworm, .trixie), arguments: [(DebianTree.bookworm, "252", "257"), (.trixie, "257", "262")])
        func guestOutlivesTheUpgradeOfSystemd(tree: DebianTree, old: String, new: String) async throws {
            try await withBootedSystem(over: tree) { system in
                #expect(try await version(of: system) == old)
                let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
                let pid = try await guest.expectGuestIntact().pid
                let supervisor = try await guest.mainPID()

                try guest.console.update()
                let (ticks, begin) = (guest.console.lastTick, ContinuousClock.now)
                let install = "apt-get install --yes --no-install-recommends /var/cache/upgrade/*.deb"
                try await system.run(
                    ["sh", "-c", "DEBIAN_FRONTEND=noninteractive \(install)"],
                    deadline: .seconds(300)
                )
                let seconds = (ContinuousClock.now - begin).components.seconds
                try guest.console.update()
                // Ten a second, if the machine has nothing else to do.
                #expect(guest.console.lastTick - ticks > UInt64(seconds))
                #expect(try await version(of: system) == new)
                // dpkg does not wait until the new manager has executed itself, and is there to be asked.
                try await system.waitUntil("systemd \(new) to be the manager", deadline: .seconds(60)) {
                    let show = ["systemctl", "show", "--property=Version", "--value"]
                    return try await system.run(show, check: false).stdout.hasPrefix(new)
                }
                #expect(try await guest.mainPID() == supervisor)
                try await guest.expectGuestIntact(pid: pid)

                try await guest.systemctl("restart")
                try await guest.expectReceived(generation: 1)
                #expect(try await guest.expectGuestIntact().generation == 2)
                try await guest.killSupervisor()
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        /// Of the programs that are installed.
        private func version(of system: BootedSystem) async throws -> String? {
            let words = try await system.run(["systemctl", "--version"]).stdout.split(separator: " ")
            return words.dropFirst().first.map(String.init)
        }
    }
}
