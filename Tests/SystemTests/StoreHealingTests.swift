import SystemTestSupport
import Testing

extension SystemTests {
    /// systemd drops what it keeps for a service whose unit changes in certain ways. What is missing is stored again as
    /// soon as systemd takes it; what a supervisor's end loses meanwhile is fetched back from the VM process.
    @Suite struct StoreHealingTests {
        private static let unitFile = "/usr/lib/systemd/system/perdure@.service"

        /// A change that makes systemd drop descriptors, and what undoes it.
        private struct Loss: Sendable {
            let reason: String
            let stored: Int
            let arise: @Sendable (RunningGuest) async throws -> Void
            let mend: @Sendable (RunningGuest) async throws -> Void
        }

        private static let lowered = Loss(reason: "FileDescriptorStoreMax=", stored: 2) { guest in
            try await guest.dropIn("[Service]\nFileDescriptorStoreMax=2\n")
        } mend: { guest in
            try await guest.removeDropIn()
        }

        private static let fileGone = Loss(reason: "is gone", stored: 0) { guest in
            try await guest.system.run(["mv", unitFile, "\(unitFile).away"])
            try await guest.system.run(["systemctl", "daemon-reload"])
        } mend: { guest in
            try await guest.system.run(["mv", "\(unitFile).away", unitFile])
            try await guest.system.run(["systemctl", "daemon-reload"])
        }

        private static let masked = Loss(reason: "systemctl unmask", stored: 0) { guest in
            try await guest.systemctl("mask")
        } mend: { guest in
            try await guest.systemctl("unmask")
        }

        @Test func whatSystemdDropsIsStoredAgain() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid
                let supervisor = try await guest.mainPID()
                for loss in [Self.lowered, Self.fileGone, Self.masked] {
                    try await lose(loss, guest)
                    try await mend(loss, guest)
                    try await guest.expectGuestIntact(pid: pid)
                    let text = try await system.property(guest.unit, "StatusText")
                    #expect(!text.contains("would not survive"), "\(loss.reason)")
                }
                for verb in ["daemon-reload", "daemon-reexec", "daemon-reexec"] {
                    try await system.run(["systemctl", verb])
                }
                try await guest.expectGuestIntact(pid: pid)
                #expect(try await guest.mainPID() == supervisor)
                // One word for each loss and one for its end, and none for what is no loss.
                #expect(try await guest.journal(.storeIncomplete).count == 3)
                #expect(try await guest.journal(.storeComplete).count == 3)

                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 1)
                #expect(try await guest.journal(.fetched).isEmpty)
                try await guest.perdure("upgrade")
                #expect(try await guest.expectGuestIntact().generation == 2)
            }
        }

        /// systemd does not hear a service whose unit is masked, and ends it with its watchdog.
        @Test func aMaskedUnitLosesItsSupervisorAndNotItsGuest() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid
                try await guest.dropIn("[Service]\nWatchdogSec=2s\n")
                // Only the next supervisor is told of its watchdog.
                try await guest.killSupervisor()
                try await lose(Self.masked, guest)
                #expect(try await guest.journal(.storeIncomplete).last?["MESSAGE"]?.contains("watchdog") == true)
                try await system.waitUntil("the watchdog to bite") {
                    try await system.property(guest.unit, "MainPID") == "0"
                }
                #expect(try guest.vmProcesses().map(\.pid) == [pid])
                try await guest.systemctl("unmask")
                try await guest.systemctl("start")
                try await guest.expectGuestIntact(pid: pid)
                #expect(try await guest.journal(.guestStarted).count == 1)
            }
        }

        private func lose(_ loss: Loss, _ guest: RunningGuest) async throws {
            let before = try await guest.journal(.storeIncomplete).count
            try await loss.arise(guest)
            try await guest.system.waitUntil("the loss to be noticed") {
                try await guest.journal(.storeIncomplete).count > before
            }
            let entry = try #require(try await guest.journal(.storeIncomplete).last)
            #expect(entry["MESSAGE"]?.contains(loss.reason) == true, "'\(entry["MESSAGE"] ?? "")'")
            #expect(entry["PRIORITY"] == "2")
            #expect(try await guest.storedDescriptors() == loss.stored)
            #expect(try await guest.status().summary.contains(loss.reason))
        }

        private func mend(_ loss: Loss, _ guest: RunningGuest) async throws {
            let before = try await guest.journal(.storeComplete).count
            try await loss.mend(guest)
            try await guest.system.waitUntil("everything to be stored again") {
                try await guest.journal(.storeComplete).count > before
            }
        }

        @Test func whatIsLostWithASupervisorIsFetchedFromTheVMProcess() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid
                try await lose(Self.lowered, guest)
                try await guest.killSupervisor()
                #expect(try await guest.receivedDescriptors().count == 2)
                try await expectRuns(guest, pid)
                #expect(try await guest.journal(.storeIncomplete).count == 2, "the next supervisor says it, too")
                #expect(try await guest.perdure("upgrade", check: false).status == 75)
                try await mend(Self.lowered, guest)
                try await guest.expectGuestIntact(pid: pid)

                // With nothing left at all, and nobody to start the next supervisor.
                try await lose(Self.masked, guest)
                try await killForGood(guest)
                try await guest.systemctl("unmask")
                try await guest.systemctl("start")
                try await guest.expectGuestIntact(pid: pid)
                #expect(try await guest.journal(.guestStarted).count == 1)

                // The next VM process has it all, too.
                try await guest.perdure("upgrade")
                let next = try await guest.expectGuestIntact()
                #expect(next.generation == 2)
                try await lose(Self.masked, guest)
                try await guest.perdure("save")
                try await killForGood(guest)
                try await guest.systemctl("unmask")
                try await guest.systemctl("start")
                #expect(try await guest.status().state == "saved")
                try await guest.perdure("exec")
                try await guest.perdure("load")
                #expect(try await guest.expectGuestIntact().generation == 3)

                try await expectTwoAreUnclear(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        private func expectRuns(_ guest: RunningGuest, _ pid: Int32?) async throws {
            let status = try await guest.status()
            #expect(status.state == "running")
            #expect(status.pid == pid)
            try guest.console.update()
            try await guest.console.wait(forTick: guest.console.lastTick + 3)
        }

        private func killForGood(_ guest: RunningGuest) async throws {
            try await guest.system.run(["kill", "-KILL", "\(try await guest.mainPID())"])
            try await guest.system.waitUntil("the unit to fail") {
                try await guest.system.property(guest.unit, "MainPID") == "0"
            }
        }

        /// Of two VM processes and no ledger, none is touched.
        private func expectTwoAreUnclear(_ guest: RunningGuest) async throws {
            let pid = try await guest.status().pid
            let other = "perdure-\(guest.name)-g9.scope"
            try await lose(Self.masked, guest)
            try await killForGood(guest)
            try await guest.system.run([
                "sh", "-c", "systemd-run --quiet --scope --unit=\(other) sleep infinity >/dev/null 2>&1 &",
            ])
            try await guest.system.waitUntil("'\(other)'") { try await guest.scopes().contains(other) }
            try await guest.systemctl("unmask")
            try await guest.systemctl("start")
            #expect(try await guest.status().state == "unclear")
            #expect(try guest.vmProcesses().map(\.pid) == [pid])
            #expect(try await guest.scopes().contains(other))

            try await guest.system.run(["systemctl", "stop", other])
            try await guest.killSupervisor()
            try await guest.expectGuestIntact(pid: pid)
        }
    }
}
