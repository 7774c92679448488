import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Firmware, networks and memory of guests that go from one QEMU's version to another's.
    @Suite(.needs(.trixie, .sid)) struct MachineVersionTests {
        /// Booted by UEFI, with streams through taps of one and of two queues, user networking, and with a DIMM for a part of the way.
        @Test(.enabled(if: BootDisk.missingLoader == nil, Comment(rawValue: BootDisk.missingLoader ?? "")))
        func guestGoesUpAndDown() async throws {
            try await withBootedSystem { system in
                let middle = try await system.installQEMU(of: .trixie)
                let new = try await system.installQEMU(of: .sid)
                for number in 0...1 {
                    try await Bridge.make("br\(number)", "10.77.\(number).1/24", on: system)
                    try await Bridge.startPeer("10.77.\(number).1", every: 5000, on: system)
                }
                let guest = try await RunningGuest(try await plan(on: system), on: system)
                for number in 0...1 { try await guest.console.wait(for: "network=\(number) tcp_received=") }
                let pieces = try await guest.pieces(after: 0)
                try await system.run(["perdure", "memory", "add", guest.name, "more", "128M"])
                guest.plan.added.append("ram.more")
                try await guest.console.wait(for: "dimm pieces=\(pieces + 1) ")
                for (qemu, version) in [(middle, "10.0."), (new, "11.1."), (middle, "10.0."), (nil, "7.2.")] {
                    try await guest.perdure("upgrade", "--qemu", qemu ?? GuestPlan.realQEMU)
                    let status = try await guest.expectGuestIntact()
                    #expect(status.qemuVersion?.hasPrefix(version) == true)
                    try await guest.expectDIMMIsUsed(plugged: true)
                    for number in 0...1 { try await expectStreamsGoOn(guest, number) }
                    try await guest.expectForward()
                    try await expectVariablesAreWritten(guest)
                }
                try await system.run(["perdure", "memory", "remove", guest.name, "more"], deadline: .seconds(120))
                guest.plan.added.removeAll { $0 == "ram.more" }
                try await guest.perdure("upgrade", "--qemu", middle)
                try await guest.perdure("upgrade", "--qemu", new)
                try await guest.expectGuestIntact()
                for number in 0...1 {
                    let inGuest = try await guest.traffic(number)
                    let atPeer = try await Bridge.traffic("10.77.\(number).1", on: system)
                    #expect(inGuest.tcpErrors == 0 && atPeer.tcpErrors == 0)
                    #expect(inGuest.udpDoubled == 0 && atPeer.udpDoubled == 0)
                    print("through versions, in the guest: \(inGuest)\nat the peer: \(atPeer)")
                }
                #expect(try await guest.journal(.handoverUndone).isEmpty)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        private func plan(on system: BootedSystem) async throws -> GuestPlan {
            var plan = GuestPlan(ramMiB: 512, diskFormat: nil, options: ["efi=1", "dimm=1"])
            plan.options.append("networks=10.77.0.2/10.77.0.1/5000,10.77.1.2/10.77.1.1/5000,10.0.2.15")
            plan.kernel = nil
            plan.firmware = ["Type=uefi"]
            plan.sections =
                BootDisk.section + ["[Memory]", "MaximumSize=1G", "[Network lan]", "Bridge=br0", "[Network wide]"]
                + ["Bridge=br1", "Queues=2", "[Network nat]", "Type=user", "Forward=tcp:2222:7007"]
            plan.queues = 3
            try await BootDisk.make(for: plan, on: system)
            return plan
        }

        private func expectStreamsGoOn(_ guest: RunningGuest, _ number: Int) async throws {
            let before = try await guest.traffic(number)
            try await guest.system.waitUntil("the streams to go on") {
                let now = try await guest.traffic(number)
                return now.tcpReceived > before.tcpReceived + 10_000 && now.udpReceived > before.udpReceived + 10
            }
        }

        private func expectVariablesAreWritten(_ guest: RunningGuest) async throws {
            try guest.console.update()
            let written = String(decoding: guest.console.bytes, as: UTF8.self).ranges(of: "efi counter=").count
            try await guest.console.wait(for: "efi counter=", count: written + 1)
        }

        /// Queues that are as long as QEMU 11.1 can't have them are there for as long as the guest does not boot anew.
        @Test func whatAGuestBootedInKeepsItFromOthers() async throws {
            try await withBootedSystem { system in
                let middle = try await system.installQEMU(of: .trixie)
                let new = try await system.installQEMU(of: .sid)
                try await Bridge.make("br0", "10.77.0.1/24", on: system)
                var plan = GuestPlan(testedMiB: 8, diskFormat: nil, machine: "pc-q35-7.2", qemu: middle)
                plan.sections = ["[Network lan]", "Bridge=br0", "[RNG]"]
                plan.options = ["rng=1", "networks=10.77.0.2"]
                plan.queues = 1
                let guest = try await RunningGuest(plan, on: system)
                try await expectRefused(guest, by: new)
                // Where it runs now makes no difference.
                try await guest.perdure("upgrade", "--qemu", GuestPlan.realQEMU)
                try await expectRefused(guest, by: new)
                try await reboot(guest)
                try await guest.perdure("upgrade", "--qemu", new)
                try await guest.perdure("upgrade", "--qemu", middle)
                try await guest.perdure("upgrade", "--qemu", new)
                try await guest.perdure("upgrade", "--qemu", middle)
                try await reboot(guest)
                try await guest.killSupervisor()
                try await expectRefused(guest, by: new)
                let undone = try await guest.journal(.handoverUndone)
                #expect(undone.count == 3 && undone.allSatisfy { $0["PERDURE_STEP"] == "probe-qemu" })
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        private func expectRefused(_ guest: RunningGuest, by qemu: String) async throws {
            let pid = try await guest.status().pid
            let reason = "which made the queues of [Network lan], [RNG] longer than QEMU '\(qemu)'"
            let check = try await guest.perdure("check", "--handover", "--qemu", qemu, check: false)
            #expect(check.stdout.contains("[queues-too-long]") && check.stdout.contains(reason), "\(check)")
            let upgrade = try await guest.perdure("upgrade", "--qemu", qemu, check: false)
            #expect(upgrade.status == 75 && upgrade.stderr.contains(reason), "\(upgrade)")
            #expect(try await guest.status().pid == pid)
            // No load was tried: there is nothing to remember.
            #expect(try await guest.status().refusal == nil)
        }

        private func reboot(_ guest: RunningGuest) async throws {
            try guest.console.update()
            let boots = GuestConsole(Array(guest.console.bytes)).boots.count
            try await guest.perdure("reset")
            try await guest.console.wait(for: "perdure-guest ready ", count: boots + 1, deadline: .seconds(180))
        }
    }
}
