import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Handovers that can't be: the guest runs on in its VM process, as if nothing had been asked.
    @Suite struct RefusalTests {
        /// Something that speaks against a handover.
        private struct Obstacle: Sendable {
            let name: String
            /// A stable part of what the administrator is told.
            let reason: String
            let arise: @Sendable (RunningGuest) async throws -> Void
            let repair: @Sendable (RunningGuest) async throws -> Void
        }

        private static let badDefinition = """
            [Guest]
            Accelerator=tgc
            Machin=q35
            [RAM main]
            Size=12X
            [Kernel]
            Image=\(GuestPlan.files)/vmlinuz
            """

        private static func definition(_ name: String, reason: String, _ command: String, _ arguments: String...)
            -> Obstacle
        {
            Obstacle(name: name, reason: reason) { guest in
                try await guest.system.run([command] + arguments + [guest.plan.path])
            } repair: { guest in
                try await guest.define { _ in }
            }
        }

        private static func qemu(_ wrapper: QEMUWrapper, reason: String, timeout: String = "60s") -> Obstacle {
            Obstacle(name: wrapper.rawValue, reason: reason) { guest in
                let path = try await wrapper.install(on: guest.system)
                try await guest.define {
                    $0.qemu = path
                    $0.handover = ["PrepareTimeoutSec=\(timeout)"]
                }
            } repair: { guest in
                try await guest.define {
                    $0.qemu = nil
                    $0.handover = []
                }
            }
        }

        private static let obstacles = [
            Obstacle(name: "bad definition", reason: "/etc/perdure/web.guest:2:13: ") { guest in
                try await guest.system.write(guest.plan.path, badDefinition)
            } repair: { guest in
                try await guest.define { _ in }
            },
            definition("definition removed", reason: "there is no such definition in", "rm"),
            definition(
                "QEMU missing",
                reason: "'/usr/bin/absent' does not exist",
                "sed",
                "-i",
                "2iQEMU=/usr/bin/absent"
            ),
            qemu(.ends, reason: "farewell"),
            qemu(.endsAsVMProcess, reason: "farewell"),
            qemu(.otherMachine, reason: "does not take the guest's state"),
            qemu(.hangs, reason: "qmp_capabilities", timeout: "1s"),
            qemu(.hangsAsVMProcess, reason: "qmp_capabilities", timeout: "1s"),
            qemu(.smallMemory, reason: "emory"),
            Obstacle(name: "full store", reason: "FileDescriptorStoreMax=") { guest in
                try await guest.dropIn("[Service]\nFileDescriptorStoreMax=\(guest.plan.inventory.count + 1)\n")
            } repair: { guest in
                try await guest.removeDropIn()
            },
        ]

        @Test func guestRunsOnWhateverSpeaksAgainstAHandover() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
                for obstacle in Self.obstacles { try await expectRefusal(by: obstacle, guest) }
                // Whatever else is in the way may go away by itself.
                let declined = try await guest.journal(.handoverDeclined).compactMap { $0["PERDURE_REASON"] }
                #expect(declined.count == 1 && declined[0].contains("'/usr/local/bin/qemu-otherMachine'"))
                let messages = try await guest.journal(.handoverUndone).compactMap { $0["PERDURE_REASON"] }
                for place in ["web.guest:2:13: ", "web.guest:3:1: ", "web.guest:5:6: "] {
                    #expect(messages.first?.contains(place) == true, "all errors at once, in '\(messages.first ?? "")'")
                }
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        private func expectRefusal(by obstacle: Obstacle, _ guest: RunningGuest) async throws {
            let name = Comment(rawValue: obstacle.name)
            let pid = try await guest.status().pid
            try await obstacle.arise(guest)

            let upgrade = try await guest.perdure("upgrade", check: false)
            #expect(upgrade.status == 75, name)
            #expect(upgrade.stderr.contains(obstacle.reason), name)
            try await expectUntouched(guest, obstacle, pid)

            #expect(try await guest.systemctl("reload", check: false).status != 0, name)
            try await expectUntouched(guest, obstacle, pid)

            let supervisor = try await guest.mainPID()
            #expect(try await guest.systemctl("restart", check: false).status == 0, name)
            #expect(try await guest.mainPID() != supervisor, name)
            try await expectUntouched(guest, obstacle, pid)
            let properties = try await guest.properties("StatusText", "NRestarts", "ActiveState")
            #expect(properties["ActiveState"] == "active", name)
            #expect(properties["StatusText"]?.contains(obstacle.reason) == true, name)
            #expect(properties["NRestarts"] == "0", name)

            try await obstacle.repair(guest)
            try await guest.perdure("upgrade")
            #expect(try await guest.status().pid != pid, name)
            let text = try await guest.system.property(guest.unit, "StatusText")
            #expect(text.contains("handover paused it"), name)
        }

        private func expectUntouched(_ guest: RunningGuest, _ obstacle: Obstacle, _ pid: Int32?) async throws {
            let name = Comment(rawValue: obstacle.name)
            let state = try await guest.expectGuestIntact(pid: pid)
            #expect(state.pid == pid, name)
            let undone = try await guest.journal(.handoverUndone).last
            #expect(undone?["PERDURE_REASON"]?.contains(obstacle.reason) == true, name)
        }

        /// systemd itself drops what the store has no room for any more, when it reads the lowered limit.
        @Test func supervisorStaysWhileTheStoreIsTooSmall() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.expectGuestIntact().pid
                let supervisor = try await guest.mainPID()
                try await guest.dropIn("[Service]\nFileDescriptorStoreMax=2\n")
                try await system.waitUntil("the supervisor to notice") {
                    try await !guest.journal(.storeIncomplete).isEmpty
                }
                #expect(try await guest.storedDescriptors() == 2)
                #expect(try await guest.perdure("upgrade", check: false).status == 75)

                try await system.run(["systemctl", "restart", "--no-block", guest.unit])
                try await system.waitUntil("the restart to wait for more room") {
                    try await guest.journal(.storeIncomplete).count > 1
                }
                #expect(try await guest.mainPID() == supervisor)
                #expect(try guest.vmProcesses().map(\.pid) == [pid])

                try await guest.removeDropIn()
                try await guest.waitForSupervisor(after: supervisor)
                try await guest.expectReceived(generation: 1)
                #expect(try await guest.expectGuestIntact().generation == 2)
            }
        }
    }
}
