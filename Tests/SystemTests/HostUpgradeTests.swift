import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// A whole host is upgraded, with the tools of its Debian, under a guest that rewrites and checks its RAM and disk.
    @Suite(.enabled(if: DebianPackage.isBuilt, "'make deb' has not been run"), .needs(.bookwormHost))
    struct HostUpgradeTests {
        /// systemd 252 to 257, QEMU 7.2 to 10.0, C library 2.36 to 2.41, and some 260 packages more.
        @Test(.enabled(if: isSoak, "PERDURE_TEST_SOAK asks for it"))
        func guestOutlivesTheUpgradeOfItsDebian() async throws {
            try await withPackagedSystem(over: .bookwormHost) { system, _ in
                let plan = GuestPlan(diskFormat: "qcow2", options: ["tick_ms=100"])
                let guest = try await RunningGuest(plan, on: system)
                let before = try await guest.expectGuestIntact()
                #expect(before.qemuVersion?.hasPrefix("7.2.") == true)
                let supervisor = try await guest.mainPID()

                try guest.console.update()
                let (ticks, begin) = (guest.console.lastTick, ContinuousClock.now)
                try await system.apt(
                    ["-o", "Dpkg::Options::=--force-confold", "full-upgrade"],
                    deadline: .seconds(1200)
                )
                let seconds = (ContinuousClock.now - begin).components.seconds
                try guest.console.update()
                // Ten a second, if the machine has nothing else to do.
                #expect(guest.console.lastTick - ticks > UInt64(seconds))
                #expect(try await system.read("/etc/os-release").contains("VERSION_ID=\"13\""))
                #expect(try await system.run(["systemctl", "show", "-P", "Version"]).stdout.hasPrefix("257"))
                #expect(try await guest.mainPID() == supervisor)

                try await guest.expectUpgradedByTrigger(to: 2)
                #expect(try await guest.expectGuestIntact().qemuVersion?.hasPrefix("10.0.") == true)
                // While packages were only unpacked, nothing was tried.
                #expect(try await guest.journal(.handoverBegan).count == 1)

                try await guest.needrestart()
                #expect(try await guest.mainPID() != supervisor)
                #expect(try await guest.expectGuestIntact().generation == 3)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await guest.checkedDiskLog().problems == [])
            }
        }

        /// needrestart gives the guest what is installed now by a restart of its unit, and ends no VM process.
        @Test func needrestartRestartsGuestsUnits() async throws {
            try await withPackagedSystem(over: .bookwormHost) { system, _ in
                let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
                try await replaceLibraries(on: system)
                // The VM process is nobody's child now, so that only its cgroup tells whose it is.
                try await guest.killSupervisor()
                let status = try await guest.expectGuestIntact()
                #expect(status.generation == 1 && status.outdated)
                let idle = try await guest.needrestart()
                #expect(!idle.contains("perdure"), "\(idle)")
                try await guest.expectGuestIntact(pid: status.pid)

                try await replaceLibraries(on: system)
                let supervisor = try await guest.mainPID()
                let output = try await guest.needrestart()
                let words = output.split(whereSeparator: \.isWhitespace).filter { $0.contains("perdure") }
                #expect(words == ["perdure@web.service"], "\(output)")
                #expect(try await guest.mainPID() != supervisor)
                let now = try await guest.expectGuestIntact()
                #expect(now.generation == 2 && !now.outdated)
            }
        }

        /// Puts copies into the places of libraries that the supervisor and QEMU use, as their packages would.
        private func replaceLibraries(on system: BootedSystem) async throws {
            let script = """
                cd /usr/lib/x86_64-linux-gnu
                for library in libsystemd.so.0 libglib-2.0.so.0; do
                    file=$(readlink "$library") && cp -a "$file" new && mv new "$file" || exit 1
                done
                """
            try await system.run(["sh", "-c", script])
        }

        /// The real one, with an archive that has a higher version of Perdure and of QEMU.
        @Test func unattendedUpgradesReachTheGuest() async throws {
            try await withTemporaryDirectory { directory in
                let qemu = try await DebianPackage.rebuilt("qemu-system-x86", from: .bookwormHost, in: directory)
                try await withPackagedSystem(over: .bookwormHost) { system, packages in
                    let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
                    let supervisor = try await guest.mainPID()
                    try await system.offer([packages.next, qemu], origin: "Perdure")
                    try await system.write(
                        "/etc/apt/apt.conf.d/60test",
                        #"Unattended-Upgrade::Origins-Pattern { "origin=Perdure"; };"#
                    )
                    try await system.run(["unattended-upgrade", "--verbose"], deadline: .seconds(300))
                    #expect(try await system.installedVersion(of: "perdure") == packages.next.version)
                    #expect(try await system.installedVersion(of: "qemu-system-x86") == qemu.version)
                    #expect(try await guest.mainPID() != supervisor)
                    try await system.waitUntil("the rolling upgrade to end") {
                        try await system.property("perdure-upgrade.service", "ActiveState") == "inactive"
                    }
                    // The first handover was perdure's own upgrade. It comes before that of QEMU or after it.
                    let generation = try await guest.expectGuestIntact().generation
                    #expect(generation == 2 || generation == 3)
                    try await guest.expectUpgradedByTrigger(to: generation, isLast: generation == 3)
                }
            }
        }
    }
}
