import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct SaveExecLoadTests {
        @Test func verbsOneByOne() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(diskFormat: "qcow2"), on: system)
                let first = try await guest.expectGuestIntact()
                try await expectRefused(["exec", "load"], guest, state: "running")
                try await guest.expectGuestIntact(pid: first.pid)

                try await guest.perdure("save")
                // A paused guest writes nothing.
                let written = try await guest.status().consoleBytes
                try await expectRefused(["save", "load", "upgrade"], guest, state: "saved")
                #expect(try await guest.systemctl("reload", check: false).status != 0)
                try await guest.expectNothingLeft(beside: try await guest.status())
                #expect(try await guest.status().pid == first.pid)

                try await guest.perdure("exec")
                let second = try await guest.status()
                #expect(second.generation == 2)
                try await expectRefused(["save", "upgrade"], guest, state: "waiting")
                try await guest.expectNothingLeft(beside: second)
                // A VM process that waits may be replaced by yet another.
                try await guest.perdure("exec")
                #expect(try await guest.status().consoleBytes == written)

                try await guest.perdure("load")
                let third = try await guest.expectGuestIntact()
                #expect(third.generation == 3)
                for message in [JournalMessage.saved, .loaded] { #expect(try await guest.journal(message).count == 1) }
                #expect(try await guest.journal(.executed).count == 2)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                try await system.run(["qemu-img", "check", "-q", guest.plan.image])
            }
        }

        @Test func savedAndWaitingGuestsOutliveTheSupervisor() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                try await guest.perdure("save")
                for step in ["saved", "waiting"] {
                    let before = try await guest.status()
                    try await guest.systemctl("restart")
                    try await expect(guest, stillStands: before, step)
                    try await guest.killSupervisor()
                    try await expect(guest, stillStands: before, step)
                    try await system.run(["systemctl", "daemon-reexec"])
                    try await expect(guest, stillStands: before, step)
                    if step == "saved" { try await guest.perdure("exec") }
                }
                #expect(try await !guest.journal(.stillSaved).isEmpty)
                try await guest.perdure("load")
                #expect(try await guest.expectGuestIntact().generation == 2)
                try await guest.systemctl("restart")
                #expect(try await guest.expectGuestIntact().generation == 3)
            }
        }

        private func expect(
            _ guest: RunningGuest,
            stillStands before: GuestStatus,
            _ state: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let now = try await guest.status()
            #expect(now.state == state, sourceLocation: sourceLocation)
            #expect(now.pid == before.pid, sourceLocation: sourceLocation)
            #expect(now.generation == before.generation, sourceLocation: sourceLocation)
            #expect(now.consoleBytes == before.consoleBytes, sourceLocation: sourceLocation)
            try await guest.expectNothingLeft(beside: now, sourceLocation: sourceLocation)
        }

        @Test func loadThatFailsLeavesTheGuestSaved() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let wrapper = try await QEMUWrapper.otherMachine.install(on: system)
                try await guest.perdure("save")
                try await guest.perdure("exec", "--qemu", wrapper)
                let failed = try await guest.perdure("load", check: false)
                #expect(failed.status != 0)
                #expect(failed.stderr.contains("does not take the guest's state"))
                let status = try await guest.status()
                #expect(status.state == "saved")
                #expect(status.pid == nil)
                #expect(try guest.vmProcesses().isEmpty)
                #expect(try await guest.scopes().isEmpty)
                #expect(try await guest.storedDescriptors() == guest.plan.inventory.count)
                #expect(try await guest.journal(.requestUndone).last?["PERDURE_STEP"] == "load-state")

                try await guest.killSupervisor()
                #expect(try await guest.receivedDescriptors() == Set(guest.plan.inventory))
                #expect(try await guest.status().state == "saved")
                try await guest.perdure("exec", "--qemu", GuestPlan.realQEMU)
                try await guest.perdure("load")
                try await guest.expectGuestIntact()
            }
        }

        private func expectRefused(
            _ verbs: [String],
            _ guest: RunningGuest,
            state: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let before = try await guest.status()
            #expect(before.state == state, sourceLocation: sourceLocation)
            for verb in verbs {
                let output = try await guest.perdure(verb, check: false)
                #expect(output.status == 75, "\(verb) in \(state)", sourceLocation: sourceLocation)
                #expect(output.stderr.contains("guest 'web'"), sourceLocation: sourceLocation)
                let now = try await guest.status()
                #expect(now.state == before.state, sourceLocation: sourceLocation)
                #expect(now.generation == before.generation, sourceLocation: sourceLocation)
                #expect(now.pid == before.pid, sourceLocation: sourceLocation)
            }
        }
    }
}
