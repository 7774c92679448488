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
