import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// The Debian package as apt installs, upgrades, downgrades and removes it, under a guest that rewrites and checks
    /// its RAM and disk all the time.
    @Suite(.enabled(if: DebianPackage.isBuilt, "'make deb' has not been run"))
    struct PackageTests {
        private let package: DebianPackage

        init() throws { package = try #require(try DebianPackage.built()) }

        @Test func guestOutlivesItsPackage() async throws {
            try await withPackagedSystem(over: nil) { system, packages in
                let next = packages.next
                let guest = try await start(on: system)
                try await expectConventions(on: system)
                try await change(from: package, to: next, under: guest)
                try await change(from: next, to: package, under: guest)
                try await expectOlderSupervisorRefuses(guest)
                try await expectRemovalIsRefused(guest)
                try await expectForcedRemoval(guest)
                try await expectPurgeLeavesDisks(guest)
            }
        }

        @Test(.needs(.trixie, .sid), arguments: [DebianTree.trixie, .sid])
        func packageServesNewerDebians(tree: DebianTree) async throws {
            try await withPackagedSystem(over: tree) { system, packages in
                let next = packages.next
                let guest = try await start(on: system)
                try await change(from: package, to: next, under: guest)
                try await change(from: next, to: package, under: guest)
                try await expectRemovalIsRefused(guest)
                try await expectForcedRemoval(guest)
            }
        }

        /// An upgrade of QEMU, by dpkg's trigger; and its removal, which harms nobody.
        @Test func upgradeOfQEMUReachesTheGuest() async throws {
            try await withTemporaryDirectory { directory in
                let qemu = try await DebianPackage.rebuilt("qemu-system-x86", in: directory)
                try await withPackagedSystem(over: nil) { system, _ in
                    let guest = try await start(on: system)
                    let pid = try await guest.expectGuestIntact().pid
                    try await system.install(qemu)
                    #expect(try await system.installedVersion(of: "qemu-system-x86") == qemu.version)
                    try await guest.expectUpgradedByTrigger(to: 2)
                    #expect(try await guest.expectGuestIntact().pid != pid)

                    try await system.write(
                        "/etc/systemd/system/perdure-upgrade@.service.d/50-test.conf",
                        "[Service]\nEnvironment=PERDURE_ON_QEMU_CHANGE=notify\n"
                    )
                    try await system.run(["systemctl", "daemon-reload"])
                    try await system.install(qemu)
                    try await system.waitUntil("a word about the outdated guest") {
                        try await system.journal(unit: "perdure-upgrade@web.service").contains {
                            $0["MESSAGE"]?.contains("'perdure upgrade web' hands it over") == true
                                && $0["PRIORITY"] == "4"
                        }
                    }
                    #expect(try await guest.expectGuestIntact().outdated)
                    try await guest.perdure("upgrade")
                    try await guest.expectUpgradedByTrigger(to: 3)

                    try await system.run(["dpkg", "--force-depends", "--remove", "qemu-system-x86"])
                    let status = try await guest.expectGuestIntact()
                    #expect(status.generation == 3 && status.outdated)
                    #expect(try await guest.perdure("upgrade", check: false).status == 75)
                    try await guest.expectGuestIntact(pid: status.pid)
                }
            }
        }

        private func start(on system: BootedSystem) async throws -> RunningGuest {
            try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
        }

        /// What systemd and dpkg make of the package's files.
        private func expectConventions(on system: BootedSystem) async throws {
            #expect(try await system.run(["getent", "group", "perdure"]).stdout.hasPrefix("perdure:"))
            let catalog = try await system.run(["journalctl", "--list-catalog"]).stdout
            #expect(catalog.contains("Perdure: Guest @PERDURE_GUEST@ is lost"))
            let verify = ["systemd-analyze", "verify", "--man=no", "perdure@web.service"]
            #expect(try await system.run(verify).stderr == "")
            #expect(try await system.run(["dpkg", "--verify", "perdure"]).stdout == "")
        }

        /// Another version is installed: a new supervisor, a new VM process, the same guest.
        private func change(
            from old: DebianPackage,
            to new: DebianPackage,
            under guest: RunningGuest
        ) async throws {
            #expect(try await guest.system.installedVersion(of: "perdure") == old.version)
            let generation = try await guest.expectGuestIntact().generation
            let supervisor = try await guest.mainPID()
            let output = try await guest.system.install(new)
            #expect(!output.stdout.contains("perdure:"), "\(output.stdout)")
            #expect(try await guest.system.installedVersion(of: "perdure") == new.version)
            #expect(try await guest.mainPID() != supervisor)
            let status = try await guest.expectGuestIntact()
            #expect(status.generation == generation + 1)
            #expect(try await guest.system.property(guest.unit, "NeedDaemonReload") == "no")
        }

        /// After a downgrade to a version that does not know the ledger's form, nothing is touched; with the newer version
        /// back, all is as before.
        private func expectOlderSupervisorRefuses(_ guest: RunningGuest) async throws {
            let pid = try await guest.expectGuestIntact().pid
            let host = try supervisor(of: guest)
            let ledger = try LedgerOfNewerFormat(heldBy: host)
            try await guest.killSupervisor()
            let reasons = try await guest.journal(.unclear).compactMap { $0["PERDURE_REASON"] }
            #expect(reasons.count == 1 && reasons[0].contains("which only a newer perdure understands"), "\(reasons)")
            try guest.console.update()
            try await guest.console.wait(forTick: guest.console.lastTick + 3)
            #expect(try guest.vmProcesses().map(\.pid) == [pid])
            #expect(try await guest.perdure("upgrade", check: false).status != 0)

            let now = try supervisor(of: guest)
            #expect(now != host)
            try ledger.undo(heldBy: now)
            try await guest.systemctl("restart")
            try await guest.expectGuestIntact(pid: pid)
        }

        /// The supervisor's number on this machine.
        private func supervisor(of guest: RunningGuest) throws -> Int32 {
            let processes = try guest.system.processes()
            return try #require(processes.first { $0.cgroup.hasSuffix("/\(guest.unit)") }).hostPID
        }

        private func expectRemovalIsRefused(_ guest: RunningGuest) async throws {
            let status = try await guest.expectGuestIntact()
            let supervisor = try await guest.mainPID()
            let output = try await guest.system.apt(["remove", "perdure"], check: false)
            #expect(output.status != 0)
            // apt passes on what a maintainer script says as it comes.
            let text = output.stdout + output.stderr
            #expect(text.contains("There are guests that the removal of this package would end"), "\(text)")
            #expect(text.contains(guest.unit))
            #expect(text.contains("touch /run/perdure/force-remove"))
            #expect(try await guest.system.installedVersion(of: "perdure") == package.version)
            #expect(try await guest.mainPID() == supervisor)
            try await guest.expectGuestIntact(pid: status.pid)
        }

        private func expectForcedRemoval(_ guest: RunningGuest) async throws {
            let system = guest.system
            try await system.run(["touch", "/run/perdure/force-remove"])
            try await system.apt(["remove", "perdure"])
            #expect(try await system.installedVersion(of: "perdure") == nil)
            #expect(try await guest.journal(.poweredOff).count == 1)
            try await system.waitUntil("the guest's scopes to go") { try await guest.scopes().isEmpty }
            #expect(try guest.vmProcesses().map(\.pid) == [])
            #expect(try guest.diskLog().problems == [])
            #expect(try await system.run(["test", "-e", "/run/perdure/force-remove"], check: false).status == 1)
        }

        private func expectPurgeLeavesDisks(_ guest: RunningGuest) async throws {
            let output = try await guest.system.apt(["purge", "perdure"])
            #expect((output.stdout + output.stderr).contains("are left as they are"))
            for file in [guest.plan.path, guest.plan.image] { try await guest.system.run(["test", "-e", file]) }
            let directories = ["/usr/bin", "/usr/lib", "/usr/share", "/etc", "/var/lib/dpkg/info"]
            let named = ["-name", "perdure*", "-not", "-name", "perdure-test*"]
            let files = try await guest.system.run(["find"] + directories + ["-xdev"] + named).stdout
            #expect(files == "/etc/perdure\n")
        }
    }
}
