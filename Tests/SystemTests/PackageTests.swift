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

        @Test func packageKeepsToConventions() async throws {
            try await withPackagedSystem(over: nil) { system, _ in
                try await expectConventions(on: system)
                try await expectOlderSupervisorRefuses(try await start(on: system))
            }
        }

        /// The package's own tests: installation, first guest, upgrade, downgrade, upgrade of QEMU, removal, purge.
        @Test(.needs(.bookwormHost)) func autopkgtestSucceeds() async throws {
            try await withBootedSystem(over: .bookwormHost, installing: "") { system in
                let deb = "/var/tmp/perdure.deb"
                try FileManager.default.copyItem(atPath: package.path, toPath: system.hostPath(deb))
                try await copyTests(to: "/var/tmp/source/debian", on: system)
                let restrictions = "--ignore-restrictions=isolation-machine,breaks-testbed"
                let output = try await system.run(
                    ["autopkgtest", restrictions, deb, "/var/tmp/source/", "--", "null"],
                    deadline: .seconds(600),
                    check: false
                )
                #expect(output.status == 0, "\(output.stdout.suffix(10_000))\(output.stderr.suffix(10_000))")
                let text = output.stdout + output.stderr
                for test in ["upgrades", "removal"] {
                    let results = text.split(separator: "\n").filter { $0.contains("\(test) ") && $0.contains("PASS") }
                    #expect(!results.isEmpty, "\(text.suffix(10_000))")
                }
            }
        }

        /// The same ones on newer Debians, without autopkgtest, which these trees do not have.
        @Test(.needs(.trixie, .sid), arguments: [DebianTree.trixie, .sid])
        func packageServesNewerDebians(tree: DebianTree) async throws {
            try await withPackagedSystem(over: tree) { system, _ in
                try await copyTests(to: "/var/tmp/debian", on: system)
                for test in ["upgrades", "removal"] {
                    let directory = try await system.run(["mktemp", "-d"]).stdout.trimmingCharacters(in: .newlines)
                    let output = try await system.run(
                        ["env", "AUTOPKGTEST_TMP=\(directory)", "/var/tmp/debian/tests/\(test)"],
                        deadline: .seconds(300),
                        check: false
                    )
                    #expect(output.status == 0, "\(output.stdout.suffix(10_000))\(output.stderr.suffix(10_000))")
                }
            }
        }

        /// What autopkgtest looks at of the source.
        private func copyTests(to directory: String, on system: BootedSystem) async throws {
            try await system.run(["mkdir", "-p", (directory as NSString).deletingLastPathComponent])
            let source = (DebianPackage.tests as NSString).deletingLastPathComponent
            try FileManager.default.copyItem(atPath: source, toPath: system.hostPath(directory))
        }

        /// Upgrades of QEMU, of firmware and of perdure itself, for a guest of the system's and one of a user's; and QEMU's
        /// removal, which harms nobody.
        @Test func upgradesReachTheGuests() async throws {
            try await withTemporaryDirectory { directory in
                let qemu = try await DebianPackage.rebuilt("qemu-system-x86", in: directory)
                let seabios = try await DebianPackage.rebuilt(
                    "seabios",
                    in: directory,
                    replacing: ("SeaBIOS (version", "SeaBIOS (Version"),
                    of: PackageTests.bios
                )
                try await withPackagedSystem(over: nil) { system, packages in
                    let user = try await TestUser.make("dev", on: system)
                    let guest = try await start(on: system)
                    let other = try await RunningGuest(
                        GuestPlan(name: "own", user: user, options: ["tick_ms=100"]),
                        on: system
                    )
                    let pid = try await guest.expectGuestIntact().pid
                    try await system.install(qemu)
                    #expect(try await system.installedVersion(of: "qemu-system-x86") == qemu.version)
                    try await guest.expectUpgradedByTrigger(to: 2)
                    #expect(try await guest.expectGuestIntact().pid != pid)
                    try await other.waitForGeneration(2)
                    #expect(try await other.expectGuestIntact().outdated == false)

                    try await expectSettings(guest, qemu: qemu, firmware: seabios)
                    try await other.waitForGeneration(3)
                    try await expectNewFirmware(guest)
                    try await expectUpgrade(of: other, to: packages.next)

                    try await system.run(["dpkg", "--force-depends", "--remove", "qemu-system-x86"])
                    let status = try await guest.expectGuestIntact()
                    #expect(status.outdated)
                    #expect(try await guest.perdure("upgrade", check: false).status == 75)
                    try await guest.expectGuestIntact(pid: status.pid)
                }
            }
        }

        private static let bios = "/usr/share/seabios/bios-256k.bin"

        /// What PERDURE_ON_QEMU_CHANGE= and masked units keep from the guest, each with the trigger of a package.
        private func expectSettings(_ guest: RunningGuest, qemu: DebianPackage, firmware: DebianPackage) async throws {
            let system = guest.system
            let (all, one) = ("perdure-upgrade@.service", "perdure-upgrade@web.service")
            func set(_ unit: String, _ setting: String) async throws {
                let text = "[Service]\nEnvironment=PERDURE_ON_QEMU_CHANGE=\(setting)\n"
                try await system.write("/etc/systemd/system/\(unit).d/override.conf", text)
                try await system.run(["systemctl", "daemon-reload"])
            }
            func unset(_ unit: String) async throws {
                try await system.run(["rm", "-r", "/etc/systemd/system/\(unit).d"])
                try await system.run(["systemctl", "daemon-reload"])
            }
            let pids = try guest.vmProcesses().map(\.pid)

            // A guest's own setting is the one that counts.
            try await set(all, "off")
            try await set(one, "notify")
            try await system.installAndAwaitUpgrades(qemu)
            let words = try await system.journal(unit: one).filter {
                $0["MESSAGE"]?.contains("'perdure upgrade web' hands it over") == true && $0["PRIORITY"] == "4"
            }
            #expect(words.count == 1)
            #expect(try await guest.expectGuestIntact().outdated)

            try await unset(one)
            try await system.installAndAwaitUpgrades(firmware)
            let ended = try await system.journal(unit: one).filter { $0["JOB_RESULT"] == "done" }
            #expect(ended.count == 3, "\(ended)")

            try await unset(all)
            try await system.run(["systemctl", "mask", one])
            try await system.installAndAwaitUpgrades(firmware)
            #expect(try await system.journal(unit: one).filter { $0["JOB_RESULT"] == "done" }.count == 3)
            #expect(try guest.vmProcesses().map(\.pid) == pids)
            #expect(try await guest.journal(.handoverBegan).count == 1)
            #expect(try await guest.journal(.firmwareReplaced) == [])

            try await system.run(["systemctl", "unmask", one])
            try await system.installAndAwaitUpgrades(firmware)
            #expect(try await guest.journal(.firmwareReplaced).map { $0["PERDURE_FIRMWARE"] } == [PackageTests.bios])
            try await guest.expectUpgradedByTrigger(to: 3)
        }

        /// Firmware that was replaced is told of, and comes with a power cycle only.
        private func expectNewFirmware(_ guest: RunningGuest) async throws {
            let system = guest.system
            let file = "'\(PackageTests.bios)'"
            #expect(try await guest.status().replacedFirmware == [PackageTests.bios])
            #expect(
                try await guest.perdure("status").stdout.contains(
                    "another firmware is installed than it was started with, \(file)"
                )
            )
            #expect(try await guest.perdure("check", "--handover").stdout.contains("[firmware-outdated]"))
            #expect(try await system.run(["perdure", "doctor"], check: false).stdout.contains("[firmware-outdated]"))
            #expect(try await guest.journal(.firmwareReplaced).count == 1)
            try await guest.systemctl("stop")
            try await guest.startAgain()
            #expect(try await guest.status().replacedFirmware == [])
            let doctor = try await system.run(["perdure", "doctor"], check: false).stdout
            // The user's guest is not the system's.
            #expect(!doctor.contains("[firmware-outdated]"))
        }

        /// A new perdure reaches users' guests, which dpkg does not wait for.
        private func expectUpgrade(of guest: RunningGuest, to package: DebianPackage) async throws {
            let supervisor = try await guest.mainPID()
            let generation = try await guest.status().generation
            try await guest.system.install(package)
            try await guest.waitForSupervisor(after: supervisor)
            try await guest.waitForGeneration(generation + 1)
            #expect(try await guest.properties("NeedDaemonReload") == ["NeedDaemonReload": "no"])
            try await guest.expectGuestIntact()
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
    }
}
