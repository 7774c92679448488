import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Guests that go from one QEMU's version to another's, up and down.
    @Suite(.needs(.trixie, .sid)) struct QEMUVersionTests {
        /// The queue that is longer than QEMU 11.1 makes it.
        private static let refusal = "exceeds allocated max"

        @Test func guestGoesUpAndDown() async throws {
            try await withBootedSystem { system in
                let middle = try await install(.trixie, on: system)
                let new = try await install(.sid, on: system)
                var plan = GuestPlan(options: ["tick_ms=100"])
                try await plan.addCDROM(on: system)
                let guest = try await RunningGuest(plan, on: system)
                #expect(try await version(of: guest) == "7.2")
                for (qemu, version) in [(middle, "10.0"), (new, "11.1"), (middle, "10.0"), (nil, "7.2")] {
                    let generation = try await guest.status().generation
                    try await guest.perdure("upgrade", "--qemu", qemu ?? GuestPlan.realQEMU)
                    let status = try await guest.expectGuestIntact()
                    #expect(status.generation == generation + 1)
                    #expect(try await self.version(of: guest) == version)
                    #expect(try machine(of: guest).hasPrefix("pc-q35-7.2,"))
                    #expect(try hasLongQueues(guest) == (version == "11.1"))
                    try await guest.expectCDROMIsRead()
                }
                try await expectOrderlyEnd(of: guest)
            }
        }

        /// What Debian 13's guests meet when they are handed to a newer QEMU.
        @Test func guestIsHandedOverByTheRemedyForWhatItsQEMULeft() async throws {
            try await withBootedSystem { system in
                let (middle, new) = (
                    try await install(.trixie, on: system),
                    try await install(.sid, withoutRemedy: true, on: system)
                )
                let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"], qemu: middle), on: system)
                #expect(try machine(of: guest).hasPrefix("pc-q35-10.0,"))
                let pid = try await guest.expectGuestIntact().pid

                // No load could succeed: it is not tried, and not remembered.
                let downgrade = try await guest.perdure("upgrade", "--qemu", GuestPlan.realQEMU, check: false)
                #expect(downgrade.status == 75)
                #expect(downgrade.stderr.contains("no machine type 'pc-q35-10.0'"))
                #expect(try await guest.expectGuestIntact(pid: pid).refusal == nil)

                try await guest.define { $0.qemu = new }
                try await expectRefusalIsRemembered(guest, pid)
                try await expectNewQEMUIsTried(guest, new)
                for qemu in [middle, new] {
                    try await guest.perdure("upgrade", "--qemu", qemu)
                    try await guest.expectGuestIntact()
                }
                #expect(try hasLongQueues(guest))
                try await expectOrderlyEnd(of: guest)
            }
        }

        /// A reboot is where a guest takes over what another QEMU than its first makes of its devices.
        @Test func guestRebootsInEachQEMU() async throws {
            try await withBootedSystem { system in
                let middle = try await install(.trixie, on: system)
                let new = try await install(.sid, on: system)
                let plan = GuestPlan(testedMiB: 8, options: ["tick_ms=100", "reboot_after=20"])
                let guest = try await RunningGuest(plan, on: system)
                for qemu in [middle, new, new, GuestPlan.realQEMU] {
                    let generation = try await guest.status().generation
                    try await guest.perdure("upgrade", "--qemu", qemu)
                    try guest.console.update()
                    let boots = GuestConsole(Array(guest.console.bytes)).boots.count
                    try await guest.console.wait(for: "perdure-guest ready ", count: boots + 1, deadline: .seconds(180))
                    let status = try await guest.status()
                    #expect(status.generation == generation + 1)
                    try await guest.expectNothingLeft(beside: status)
                }
                let console = GuestConsole(Array(guest.console.bytes))
                #expect(console.problems.map(\.description) == [])
                #expect(console.boots.dropLast().allSatisfy { $0.ending == .reboot })
                try await expectOrderlyEnd(of: guest)
            }
        }

        /// The guest is paused for an attempt once, and then only where a person asks for it.
        private func expectRefusalIsRemembered(_ guest: RunningGuest, _ pid: Int32?) async throws {
            try await guest.systemctl("restart")
            try await expectRefused(guest, pid, attempts: 1, declined: 0)
            try await guest.systemctl("restart")
            try await expectRefused(guest, pid, attempts: 1, declined: 1)
            let upgrade = try await guest.perdure("upgrade", check: false)
            #expect(upgrade.status == 75)
            #expect(upgrade.stderr.contains(Self.refusal))
            try await expectRefused(guest, pid, attempts: 2, declined: 1)
            try await guest.systemctl("restart")
            try await expectRefused(guest, pid, attempts: 2, declined: 2)
            let notice = try await guest.journal(.handoverDeclined).last
            #expect(notice?["PERDURE_REASON"]?.contains(Self.refusal) == true)
            #expect(notice?["MESSAGE"]?.contains("'perdure upgrade web'") == true)
            #expect(notice?["PRIORITY"] == "5")

            // It is known for as long as the guest runs, whoever its supervisor is.
            try await guest.killSupervisor()
            #expect(try await guest.expectGuestIntact(pid: pid).refusal?.contains(Self.refusal) == true)
            let shown = try await guest.perdure("status", "--lines", "0").stdout
            #expect(shown.components(separatedBy: Self.refusal).count == 2, "once, in '\(shown)'")
        }

        private func expectRefused(
            _ guest: RunningGuest,
            _ pid: Int32?,
            attempts: Int,
            declined: Int,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            try await guest.expectGuestIntact(pid: pid, sourceLocation: sourceLocation)
            let undone = try await guest.journal(.handoverUndone).filter { $0["PERDURE_STEP"] == "load-state" }
            #expect(undone.count == attempts, sourceLocation: sourceLocation)
            #expect(undone.last?["PERDURE_REASON"]?.contains(Self.refusal) == true, sourceLocation: sourceLocation)
            #expect(try await guest.journal(.handoverDeclined).count == declined, sourceLocation: sourceLocation)
            let text = try await guest.system.property(guest.unit, "StatusText")
            #expect(text.contains(Self.refusal), sourceLocation: sourceLocation)
        }

        private func expectNewQEMUIsTried(_ guest: RunningGuest, _ path: String) async throws {
            #expect(try await install(.sid, on: guest.system) == path)
            try await guest.systemctl("restart")
            let status = try await guest.expectGuestIntact()
            #expect(try await version(of: guest) == "11.1")
            #expect(try hasLongQueues(guest))
            #expect(status.refusal == nil)
        }

        private func expectOrderlyEnd(of guest: RunningGuest) async throws {
            try await guest.systemctl("stop")
            try await guest.expectGone()
            #expect(try guest.diskLog().problems == [])
            #expect(try await guest.journal(.lost).isEmpty)
        }

        /// Installs a program that is a tree's QEMU, and returns its path.
        private func install(
            _ tree: DebianTree,
            withoutRemedy: Bool = false,
            on system: BootedSystem
        ) async throws -> String {
            try await system.installQEMU(of: tree) { script in
                withoutRemedy ? QEMUWrapper.dropping(",queue-size=1024", from: script) : script
            }
        }

        /// As far as it is a release's name.
        private func version(of guest: RunningGuest) async throws -> String? {
            try await guest.status().qemuVersion?.split(separator: ".").prefix(2).joined(separator: ".")
        }

        private func machine(of guest: RunningGuest) throws -> String {
            let arguments = try #require(try guest.vmProcesses().first).arguments
            let position = try #require(arguments.firstIndex(of: "-machine"))
            return arguments[position + 1]
        }

        private func hasLongQueues(_ guest: RunningGuest) throws -> Bool {
            try #require(try guest.vmProcesses().first).arguments.contains { $0.hasSuffix(",queue-size=1024") }
        }
    }
}

extension BootedSystem {
    /// The QEMU of another Debian release, by the path that it gets.
    func installQEMU(of tree: DebianTree, _ change: (String) -> String = { $0 }) async throws -> String {
        let path = "/usr/local/bin/qemu-\(tree.rawValue)"
        // A package replaces the file, too.
        try await write("\(path).new", change(tree.qemuScript))
        try await run(["sh", "-c", "chmod 755 \(path).new && mv \(path).new \(path)"])
        return path
    }
}
