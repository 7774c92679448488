import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct StopTests {
        @Test func stopPowersOffInOrder() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                try await guest.systemctl("stop")
                try await expectOrderlyEnd(of: guest)
                #expect(try await guest.journal(.stopping).count == 1)
                #expect(try await guest.journal(.poweredOff).count == 1)
                #expect(try await guest.perdure("status", check: false).status == 69)
                #expect(try await guest.perdure("upgrade", check: false).status == 69)

                let records = try guest.diskLog().lastRecord
                try await guest.startAgain()
                try await guest.expectGuestIntact()
                #expect(try await guest.status().generation == 1)
                #expect(try guest.diskLog().lastRecord > records)
                try await stopFromSavedAndWaiting(guest)
            }
        }

        private func stopFromSavedAndWaiting(_ guest: RunningGuest) async throws {
            try await guest.perdure("save")
            try await guest.systemctl("stop")
            try await expectOrderlyEnd(of: guest)

            try await guest.startAgain()
            try await guest.perdure("save")
            try await guest.perdure("exec")
            try await guest.systemctl("stop")
            try await expectOrderlyEnd(of: guest)
        }

        private func expectOrderlyEnd(
            of guest: RunningGuest,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            try await guest.expectGone(sourceLocation: sourceLocation)
            try await guest.console.wait(for: "perdure-guest powering off")
            let boot = try guest.console.verified()
            #expect(boot.ending == .powerOff, sourceLocation: sourceLocation)
            let log = try guest.diskLog()
            #expect(log.problems == [], sourceLocation: sourceLocation)
            #expect(log.lastRecord >= boot.diskRecords, sourceLocation: sourceLocation)
        }

        @Test func guestThatIgnoresTheButtonIsEnded() async throws {
            try await withBootedSystem { system in
                // Progress is what the guest writes: it must fall silent to be given up.
                let plan = GuestPlan(
                    diskFormat: nil,
                    options: ["ignore_power_button=1", "tick_ms=5000"],
                    stop: ["TimeoutSec=8"]
                )
                let guest = try await RunningGuest(plan, waitingForTicks: 1, on: system)
                try await guest.define { $0.stop = ["TimeoutSec=2"] }
                try await guest.systemctl("restart")
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.console.verified().ending == .none)
                let given = try await guest.journal(.stepWentOn)
                #expect(given.last?["PERDURE_STEP"] == "await-power-off")
                #expect(given.last?["PERDURE_REASON"]?.contains("no progress") == true)

                // One that floods its console has something else to say than that it shuts down.
                try await guest.define { $0.options = ["ignore_power_button=1", "tick_ms=1"] }
                try await guest.startAgain()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                let flood = try await guest.journal(.stepWentOn)
                #expect(flood.count == given.count + 1)
                #expect(flood.last?["PERDURE_REASON"]?.contains("no progress") == true)
            }
        }

        /// Writing to the console is progress, and a guest can write for ever.
        @Test func guestThatOnlyShowsProgressIsEnded() async throws {
            try await withBootedSystem { system in
                let plan = GuestPlan(options: ["ignore_power_button=1"], stop: ["LimitSec=6"])
                let guest = try await RunningGuest(plan, on: system)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                let given = try await guest.journal(.stepWentOn)
                #expect(given.last?["PERDURE_STEP"] == "await-power-off")
                #expect(given.last?["PERDURE_REASON"]?.contains("raise LimitSec=") == true)
                #expect(try guest.diskLog().problems == [])
            }
        }

        @Test func guestThatPowersItselfOffEndsTheUnit() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(options: ["poweroff_after=60"]), on: system)
                try await expectOrderlyEnd(of: guest)

                // Once more, while there is no supervisor to see it.
                try await guest.dropIn("[Service]\nRestartSec=5s\n")
                try await guest.startAgain()
                try await guest.console.wait(forTick: 40)
                try await system.run(["kill", "-KILL", "\(try await guest.mainPID())"])
                try await guest.console.wait(for: "perdure-guest powering off")
                try await expectOrderlyEnd(of: guest)
                // The next supervisor came too late to adopt it.
                #expect(try await guest.journal(.adopted).isEmpty)
                #expect(try await guest.journal(.lost).isEmpty)
                #expect(try await guest.journal(.poweredOff).count == 2)
            }
        }

        @Test func guestMayReboot() async throws {
            try await withBootedSystem { system in
                let plan = GuestPlan(diskFormat: "qcow2", options: ["reboot_after=100"])
                let guest = try await RunningGuest(plan, on: system)
                let pid = try await guest.status().pid
                try await guest.console.wait(for: "perdure-guest ready ", count: 2, deadline: .seconds(180))
                try await guest.systemctl("restart")
                let status = try await guest.status()
                #expect(status.generation == 2)
                #expect(status.pid != pid)
                let boots = GuestConsole(Array(guest.console.bytes)).boots
                #expect(boots.count == 2)
                #expect(boots.first?.ending == .reboot)
                let ticks = try #require(boots.last?.lastTick)
                try await guest.console.wait(for: "tick=000003", count: 2)
                try await guest.system.waitUntil("the second boot to go on") {
                    try guest.console.update()
                    return GuestConsole(Array(guest.console.bytes)).boots.last?.lastTick ?? 0 > ticks + 3
                }
                #expect(GuestConsole(Array(guest.console.bytes)).problems.map(\.description) == [])
                try await guest.expectNothingLeft(beside: status)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                try await system.run(["qemu-img", "check", "-q", guest.plan.image])
            }
        }

        @Test func signalsWithoutAJobLeaveTheGuestAlone() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let status = try await guest.expectGuestIntact()
                let supervisor = try await guest.mainPID()
                try await system.run(["kill", "-TERM", "\(supervisor)"])
                try await guest.waitForSupervisor(after: supervisor)
                try await guest.expectReceived(generation: 1)
                #expect(try await guest.expectGuestIntact(pid: status.pid).generation == 1)

                try await killDuringStop(guest)
            }
        }

        /// systemd does not start a supervisor again that dies during a stop: its VM process must end all the same.
        private func killDuringStop(_ guest: RunningGuest) async throws {
            let vm = try #require(try guest.vmProcesses().first)
            // A guest that does not run can't react to its button, so the stop lasts.
            try await guest.system.run(["kill", "-STOP", "\(vm.pid)"])
            let supervisor = try await guest.mainPID()
            try await guest.system.run(["systemctl", "stop", "--no-block", guest.unit])
            try await guest.system.waitUntil("the stop to begin") { try await !guest.journal(.stopping).isEmpty }
            try await guest.system.run(["kill", "-KILL", "\(supervisor)"])
            try await guest.expectGone(result: "signal")
            try await guest.system.run(["systemctl", "reset-failed", guest.unit])
            try await guest.startAgain()
            try await guest.expectGuestIntact()
        }
    }
}
