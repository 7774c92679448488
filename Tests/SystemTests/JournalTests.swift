import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct JournalTests {
        @Test func everyChangeIsInTheJournal() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                for message in [JournalMessage.guestStarting, .guestStarted] {
                    #expect(try await guest.journal(message).count == 1)
                }
                #expect(try await guest.journal(.guestStarted).first?["PERDURE_GENERATION"] == "1")

                try await guest.perdure("upgrade", "--qemu", try await QEMUWrapper.works.install(on: system))
                try await expectHandover(guest)
                try await guest.killSupervisor()
                #expect(try await guest.journal(.adopted).last?["PERDURE_GENERATION"] == "2")

                try await guest.perdure("save")
                let saved = try #require(try await guest.journal(.saved).last)
                try expectMicroseconds(saved, ["STOP_GUEST", "SAVE_STATE"])
                try await guest.perdure("exec")
                let executed = try #require(try await guest.journal(.executed).last)
                #expect(executed["PERDURE_GENERATION"] == "3")
                try expectVersions(executed)
                try await guest.perdure("load")
                let loaded = try #require(try await guest.journal(.loaded).last)
                try expectMicroseconds(loaded, ["LOAD_STATE", "CONTINUE_GUEST"])

                try await guest.define { $0.ramMiB += 64 }
                try await guest.perdure("upgrade")
                #expect(try await guest.journal(.changesWait).last?["MESSAGE"]?.contains("main") == true)
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                for message in [JournalMessage.stopping, .poweredOff] {
                    #expect(try await guest.journal(message).last?["PERDURE_GENERATION"] == "4")
                }
            }
        }

        private func expectHandover(_ guest: RunningGuest) async throws {
            #expect(try await guest.journal(.handoverBegan).last?["PERDURE_GENERATION"] == "1")
            let done = try #require(try await guest.journal(.handoverDone).last)
            #expect(done["PERDURE_GENERATION"] == "2")
            let pause = try #require(done["PERDURE_PAUSE_USEC"].flatMap { Int($0) })
            #expect(pause > 0)
            #expect(try await guest.status().lastPauseUsec == pause)
            try expectVersions(done)
            try expectMicroseconds(
                done,
                [
                    "READ_DEFINITION", "PROBE_QEMU", "START_VM_PROCESS", "CONNECT", "COMPARE", "SYNC_DISKS",
                    "RECORD_SAVING", "STOP_GUEST", "SAVE_STATE", "RECORD_LOADING", "LOAD_STATE", "RECORD_COMMIT",
                    "CONTINUE_GUEST", "RETIRE_VM_PROCESS",
                ]
            )
        }

        private func expectMicroseconds(_ entry: [String: String], _ steps: [String]) throws {
            for step in steps {
                let value = try #require(entry["PERDURE_\(step)_USEC"].flatMap { Int($0) }, "\(step)")
                #expect(value >= 0)
            }
        }

        private func expectVersions(_ entry: [String: String]) throws {
            let (old, new) = (entry["PERDURE_QEMU_VERSION_OLD"], entry["PERDURE_QEMU_VERSION_NEW"])
            #expect(try #require(old).contains("."))
            #expect(old == new)
            #expect(entry["PERDURE_QEMU_PACKAGE_NEW"] == entry["PERDURE_QEMU_PACKAGE_OLD"])
        }

        @Test func guestWhoseVMProcessDiesIsReportedAsLost() async throws {
            try await withBootedSystem { system in
                let talker = try await QEMUWrapper.lastWords.install(on: system)
                let guest = try await RunningGuest(GuestPlan(qemu: talker), on: system)
                let vm = try #require(try guest.vmProcesses().first)
                try await system.run(["kill", "-KILL", "\(vm.pid)"])
                try await guest.expectGone(result: "exit-code")
                let lost = try #require(try await guest.journal(.lost).last)
                #expect(lost["PERDURE_REASON"]?.contains("VM process 1 (pid \(vm.pid))") == true)
                #expect(lost["PERDURE_REASON"]?.contains("famous last words") == true)
                #expect(lost["PRIORITY"] == "2")
                #expect(try await guest.properties("NRestarts", "ExecMainStatus").values.sorted() == ["0", "1"])
                #expect(try guest.console.verified().ending == .none)

                // The same while there is no supervisor.
                try await guest.dropIn("[Service]\nRestartSec=2s\n")
                try await guest.startAgain()
                let next = try #require(try guest.vmProcesses().first)
                try await system.run(["kill", "-KILL", "\(try await guest.mainPID())", "\(next.pid)"])
                try await guest.expectGone(result: "exit-code")
                #expect(try await guest.journal(.lost).count == 2)
                #expect(try await guest.journal(.guestStarted).count == 2)
            }
        }
    }
}
