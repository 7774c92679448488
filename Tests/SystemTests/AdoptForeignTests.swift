import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// QEMUs that Perdure did not start.
    @Suite struct AdoptForeignTests {
        private static let plan = GuestPlan(diskFormat: "qcow2")

        /// What cuts an adoption off, and what is left then.
        private static let cuts: [(step: String, isTaken: Bool)] = [
            ("handover compare after", false), ("handover save-state after", false),
            ("handover load-state after", false), ("handover record-commit after", true),
        ]

        @Test func aForeignGuestBecomesOneLikeAnyOther() async throws {
            try await withBootedSystem { system in
                let foreign = try await ForeignQEMU(Self.plan, unit: "by-hand", on: system)
                try await foreign.waitForTicks(3)
                let before = try await foreign.fingerprint()
                try await expectRefusals(of: foreign, system)
                // What fails later, fails where the guest is, too.
                try await foreign.allowHalts()
                for cut in Self.cuts where !cut.isTaken {
                    try await cutOff(foreign, at: cut.step, system)
                    #expect(try await foreign.fingerprint() == before, "\(cut.step)")
                    try await foreign.waitForTicks(2)
                }
                let pid = try await foreign.pid()
                let taken = try #require(Self.cuts.last)
                try await cutOff(foreign, at: taken.step, system)
                try await expectTakenOver(foreign, pid: pid, system)
            }
        }

        /// Kills the supervisor at a step of the adoption.
        private func cutOff(_ foreign: ForeignQEMU, at step: String, _ system: BootedSystem) async throws {
            let supervisor = try await foreign.haltAdoption(at: step)
            try await system.run(["kill", "-KILL", "\(supervisor)"])
            let end = try await foreign.commandEnd()
            let isTaken = Self.cuts.first { $0.step == step }?.isTaken == true
            #expect(end.state == (isTaken ? "active" : "failed"), "\(end.errors)")
            if !isTaken {
                #expect(end.status == "75")
                #expect(end.errors.contains("runs on as it was"), "\(step): \(end.errors)")
                #expect(try await system.run(["test", "-e", foreign.plan.path], check: false).status == 1)
                try await foreign.waitForLettingGo()
            }
            try await foreign.forgetCommand()
        }

        /// Each refused with its reason, all at once, and the QEMU as it was.
        private func expectRefusals(of foreign: ForeignQEMU, _ system: BootedSystem) async throws {
            var plan = foreign.plan
            (plan.name, plan.options) = ("other", [])
            let odd = try await ForeignQEMU(plan, unit: "odd", on: system) { arguments in
                arguments.removeAll { $0 == "-nodefaults" }
                arguments = arguments.map { $0.replacing("memory-backend-memfd", with: "memory-backend-ram") }
                arguments = arguments.map { $0.replacing("2222", with: "2223") }
                arguments = arguments.map { $0.replacing("cores=2,", with: "cores=4,maxcpus=4,") }
                arguments += [
                    "-S", "-rtc", "base=localtime", "-device", "edu", "-boot", "menu=on",
                ]
            }
            let before = try await odd.fingerprint()
            let refused = try await odd.perdure(check: false)
            #expect(refused.status == 75)
            for reason in [
                "without '-nodefaults'", "'memory-backend-ram'", "state 'prelaunch'", "'-rtc base=localtime'",
                "'-device edu'", "'-boot menu=on'", "('maxcpus=')", "has a 'edu'",
            ] {
                #expect(refused.stderr.contains(reason), "\(reason): \(refused.stderr)")
            }
            #expect(try await odd.fingerprint() == before)
            try await system.run(["systemctl", "stop", "odd"])

            let dryRun = try await foreign.perdure("--dry-run")
            #expect(dryRun.stdout.contains("[Network nat]\nType=user\nMACAddress=52:54:00:12:34:56\n"))
            let taken = try await system.run(
                ["perdure", "adopt", "web", "--qmp", "/run/none"],
                check: false
            )
            #expect(taken.status == 64)
            try await system.write("/etc/perdure/taken.guest", "")
            let twice = try await system.run(["perdure", "adopt", "taken", "--qmp", foreign.socket], check: false)
            #expect(twice.status == 75 && twice.stderr.contains("there is a guest 'taken' already"))
        }

        private func expectTakenOver(_ foreign: ForeignQEMU, pid: Int32, _ system: BootedSystem) async throws {
            try await foreign.forbidHalts()
            #expect(try system.processes().filter { $0.pid == pid }.isEmpty)
            let guest = try await RunningGuest(running: foreign.plan, on: system)
            let begin = try foreign.console
            #expect(try await guest.nextTicks(after: begin).sweeps > 0)
            let status = try await guest.status()
            #expect(status.generation == 1 && status.state == "running")
            try await guest.expectNothingLeft(beside: status)
            for generation in 2...4 {
                try await guest.perdure("upgrade")
                _ = try await guest.nextTicks(after: begin)
                #expect(try await guest.status().generation == generation)
            }
            try await guest.killSupervisor()
            _ = try await guest.nextTicks(after: begin)
            try await guest.systemctl("restart")
            let last = try await guest.nextTicks(after: begin)
            #expect(last.ramErrors == 0 && last.diskErrors == 0 && last.diskRecords > 0)
            #expect(try await guest.status().generation == 5)
            #expect(try await guest.perdure("diff").stdout.contains("runs with what its definition says"))
            // The port leads to the guest's network again.
            try await system.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2222"])
            try await guest.systemctl("stop")
            try await guest.expectGone()
            #expect(try await guest.checkedDiskLog().problems == [])
            // The next one is a start like any other.
            try await guest.startAgain()
            try await guest.systemctl("stop")
        }
    }
}
