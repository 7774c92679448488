import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What happens to supervisor and systemd without the guest noticing anything.
    @Suite struct AdoptionTests {
        @Test func guestRunsOnWithoutAPause() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid

                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 1)
                try await guest.expectGuestIntact(pid: pid)

                let supervisor = try await guest.mainPID()
                for verb in ["daemon-reload", "daemon-reexec", "daemon-reload"] {
                    try await system.run(["systemctl", verb])
                    try await guest.expectGuestIntact(pid: pid)
                }
                #expect(try await guest.mainPID() == supervisor)

                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 1)
                #expect(try await guest.expectGuestIntact(pid: pid).generation == 1)
                #expect(try await guest.journal(.adopted).count == 2)
                for message in [JournalMessage.handoverBegan, .handoverDone, .rolledBack, .lost, .storeIncomplete] {
                    #expect(try await guest.journal(message).isEmpty)
                }
                #expect(try await guest.status().lastPauseUsec == nil)

                // The next handover works as if nothing had been.
                try await guest.systemctl("restart")
                #expect(try await guest.expectGuestIntact().generation == 2)
            }
        }

        /// Wherever a handover is cut off, the next supervisor rolls it back or finishes it.
        @Test func supervisorMayDieAtAnyPointOfAHandover() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let begin = ContinuousClock.now
                try await guest.perdure("upgrade")
                let duration = ContinuousClock.now - begin
                // Most of it is preparation: more attempts where the guest is paused.
                for part in [0.1, 0.3, 0.5] + stride(from: 0.6, to: 1.0, by: 0.02) {
                    let supervisor = try await guest.mainPID()
                    try await system.run(["systemd-run", "--quiet", "--collect", "perdure", "upgrade", guest.name])
                    try await Task.sleep(for: duration * part)
                    try await system.run(["kill", "-KILL", "\(supervisor)"])
                    try await guest.waitForSupervisor(after: supervisor)
                    try await guest.expectGuestIntact()
                }
                let ends = [JournalMessage.adopted, .rolledBack, .handoverDone]
                var counts: [Int] = []
                for end in ends { counts.append(try await guest.journal(end).count) }
                print("killed during handovers: \(zip(ends, counts).map { "\($0) \($1)" }.joined(separator: ", "))")
                #expect(try await guest.journal(.lost).isEmpty)
                #expect(try await guest.journal(.unclear).isEmpty)
                try await guest.systemctl("restart")
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        @Test func watchdogEndsASupervisorWhoseVMProcessHangs() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let vm = try #require(try guest.vmProcesses().first)
                try await guest.dropIn("[Service]\nWatchdogSec=2s\n")
                // Only the next supervisor is told of its watchdog.
                try await guest.killSupervisor()
                let supervisor = try await guest.mainPID()

                try await system.run(["kill", "-STOP", "\(vm.pid)"])
                try await system.waitUntil("the watchdog to bite") {
                    try await guest.mainPID() != supervisor
                }
                try await system.run(["kill", "-CONT", "\(vm.pid)"])
                try await guest.waitForSupervisor(after: supervisor)
                #expect(try await guest.expectGuestIntact(pid: vm.pid).generation == 1)
                #expect(try await !guest.journal(.vmProcessSilent).isEmpty)
                let messages = try await system.journal(unit: guest.unit).compactMap { $0["MESSAGE"] }
                #expect(messages.contains { $0.contains("Watchdog timeout") })

                try await guest.removeDropIn()
                try await guest.systemctl("restart")
                #expect(try await guest.expectGuestIntact().generation == 2)
            }
        }
    }
}
