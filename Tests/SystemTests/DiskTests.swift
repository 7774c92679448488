import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Each kind of disk, with a guest that writes to it and checks it, through handovers and a killed supervisor.
    @Suite struct DiskTests {
        private static let handovers = 20

        /// An image on top of another one, which both processes have open, beside a CD-ROM that is read all the time.
        @Test func overlayOnSCSIBesideACDROM() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(diskFormat: "qcow2")
                try await plan.addCDROM(on: system)
                let base = "/var/lib/guests/base.qcow2"
                try await system.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "16M"])
                try await system.run(
                    ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", plan.image]
                )
                plan.disk = ["Bus=virtio-scsi", "Serial=ROOT-1", "Cache=writethrough"]
                plan.device = "/dev/sda"
                let guest = try await RunningGuest(plan, on: system)
                try await handOver(guest)
                try await guest.expectCDROMIsRead()
                try await end(guest)
                #expect(try await system.run(["qemu-img", "check", "-q", base]).status == 0)
            }
        }

        @Test(arguments: [
            ["Cache=none", "AIO=native"], ["Cache=directsync", "AIO=io_uring"], ["Bus=virtio-scsi", "Cache=unsafe"],
        ])
        func rawImage(lines: [String]) async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(disk: lines)
                if lines.contains("Bus=virtio-scsi") { plan.device = "/dev/sda" }
                let guest = try await RunningGuest(plan, on: system)
                try await handOver(guest)
                try await end(guest)
            }
        }

        /// What only the host notices comes with a handover.
        @Test func cacheOfARunningGuest() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(diskFormat: "qcow2"), on: system)
                try await guest.define { $0.disk = ["Cache=none", "AIO=native"] }
                try await guest.perdure("upgrade")
                let vm = try #require(try guest.vmProcesses().first)
                #expect(vm.arguments.contains { $0.contains(#""aio":"native","cache":{"direct":true"#) })
                try await guest.expectGuestIntact()
                // The guest would notice: it has been told that it need not flush.
                try await guest.define { $0.disk = ["Cache=directsync", "AIO=native"] }
                try await guest.perdure("upgrade")
                let waiting = try await guest.journal(.changesWait)
                #expect(waiting.last?["MESSAGE"]?.contains("[Disk root] Cache= is directsync") == true)
                try await end(guest)
            }
        }

        @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/loop-control"), "no loop devices"))
        func blockDevice() async throws {
            try await withBootedSystem { system in
                let plan = GuestPlan()
                try await system.run(["mkdir", "-p", "/var/lib/guests"])
                try await system.run(["qemu-img", "create", "-q", "-f", "raw", plan.image, "16M"])
                let attach = """
                    mknod /dev/loop-control c 10 237 && device=$(losetup -f) &&
                    { test -b "$device" || mknod "$device" b 7 "${device#/dev/loop}"; } &&
                    losetup "$device" "$0" && echo "$device"
                    """
                let device = try await system.run(["sh", "-c", attach, plan.image]).stdout
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                let guest: RunningGuest
                do {
                    guest = try await RunningGuest(
                        GuestPlan(disk: ["Image=", "Image=\(device)", "Cache=none", "AIO=native"]),
                        on: system
                    )
                } catch {
                    try await system.run(["losetup", "-d", device])
                    throw error
                }
                // Takes effect when nobody has it open any more, whatever becomes of this test.
                try await system.run(["losetup", "-d", device])
                try await handOver(guest)
                try await end(guest)
            }
        }

        private func handOver(_ guest: RunningGuest) async throws {
            for number in 1...Self.handovers {
                try await guest.perdure("upgrade")
                if number == Self.handovers / 2 {
                    try await guest.killSupervisor()
                }
            }
            let status = try await guest.expectGuestIntact()
            #expect(status.generation == Self.handovers + 1)
            #expect(try await guest.journal(.handoverDone).count == Self.handovers)
        }

        /// Powers the guest off: nothing that it was told to be on the disk is missing.
        private func end(_ guest: RunningGuest) async throws {
            try await guest.systemctl("stop")
            try await guest.expectGone()
            try await guest.console.wait(for: "perdure-guest powering off")
            let boot = try guest.console.verified()
            let log = guest.plan.diskFormat == "raw" ? try guest.diskLog() : try await guest.checkedDiskLog()
            #expect(log.problems == [])
            #expect(log.lastRecord >= boot.diskRecords)
            #expect(boot.diskRecords > 0)
        }
    }
}

extension GuestPlan {
    /// A CD-ROM that the guest reads all the time.
    mutating func addCDROM(on system: BootedSystem) async throws {
        let image = "/var/lib/guests/\(name)-seed.img"
        try await system.run(
            ["sh", "-c", "mkdir -p \"${0%/*}\" && head -c 1M /dev/urandom >\"$0\"", image]
        )
        sections += ["[Disk seed]", "Image=\(image)", "Format=raw", "Bus=virtio-scsi", "Device=cdrom"]
        options.append("media=/dev/sr0")
    }
}

extension RunningGuest {
    /// It is read on. An error would be one of the disk, which the console's check finds.
    func expectCDROMIsRead() async throws {
        try console.update()
        let text = String(decoding: console.bytes, as: UTF8.self)
        #expect(text.contains("media size=1048576 "))
        let last = try #require(text.matches(of: /media read=([0-9]+)/).last.flatMap { Int($0.1) })
        try await console.wait(for: "media read=\(last + 3)")
    }
}
