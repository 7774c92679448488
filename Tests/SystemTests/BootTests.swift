import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Guests that boot from their disks, and what they boot with being replaced on the host.
    @Suite struct BootTests {
        private static let handovers = 20
        private static let bios = "/usr/share/seabios/bios-256k.bin"
        private static let vgabios = "/usr/share/seabios/vgabios-stdvga.bin"

        @Test func biosBootsFromADisk() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan()
                (plan.kernel, plan.sections, plan.device) = (nil, BootDisk.section, "/dev/vdb")
                try await BootDisk.make(for: plan, on: system)
                let guest = try await RunningGuest(plan, on: system)
                try await handOver(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        /// Secure boot means system management mode, in which UEFI writes its variables.
        @Test(
            .enabled(if: BootDisk.missingLoader == nil, Comment(rawValue: BootDisk.missingLoader ?? "")),
            arguments: [true, false]
        )
        func uefiKeepsItsVariables(secureBoot: Bool) async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(ramMiB: 512, diskFormat: nil, options: ["efi=1"])
                (plan.kernel, plan.sections) = (nil, BootDisk.section)
                plan.firmware = ["Type=uefi", "SecureBoot=\(secureBoot ? "yes" : "no")"]
                try await BootDisk.make(for: plan, on: system)
                let guest = try await RunningGuest(plan, on: system)
                try await guest.console.wait(for: "efi secure_boot=\(secureBoot ? 1 : 0) before=-1 ")
                try await handOver(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                try await guest.console.wait(for: "perdure-guest powering off")
                let last = try #require(try counters(guest).last)

                // Nothing that the firmware was told to keep is missing.
                try await guest.startAgain()
                try await guest.console.wait(for: "efi secure_boot=\(secureBoot ? 1 : 0) before=")
                let text = String(decoding: guest.console.bytes, as: UTF8.self)
                let before = try #require(text.firstMatch(of: /before=([0-9]+)/).flatMap { Int($0.1) })
                #expect(before == last || before == last + 1)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        /// A guest that boots again and again, from what was there when it was started.
        @Test func whatTheGuestBootedWithIsReplaced() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(testedMiB: 8, options: ["tick_ms=100", "reboot_after=20", "seed=1"])
                plan.kernel = ("/var/lib/guests/vmlinuz", "/var/lib/guests/initrd")
                try await installKernel(on: system)
                let userData = "#cloud-config\n" + String(repeating: "# \u{fc}\n", count: 3000)
                try await system.write("/var/lib/guests/user-data", userData)
                try await system.write("/var/lib/guests/secret", "swordfish")
                plan.sections = [
                    "[CloudInit]", "UserData=/var/lib/guests/user-data", "[Credential it]",
                    "Name=test.secret", "File=/var/lib/guests/secret", "[Display]",
                ]
                let guest = try await RunningGuest(plan, on: system)
                let seen = [
                    Self.seedLine("user-data", userData), "perdure-guest seed credential test.secret=c3dvcmRmaXNo ",
                ]
                for line in seen { try await guest.console.wait(for: line) }
                let words = try guest.vmProcesses().flatMap(\.arguments).joined(separator: " ")
                #expect(!words.contains("swordfish") && !words.contains("c3dvcmRmaXNo"))
                let small = try await system.run(["stat", "-c", "%s", Self.bios]).stdout
                try await system.run(
                    ["sh", "-c", "head -c 256K /dev/zero | cat - $0 >$0.new && mv $0.new $0", Self.bios]
                )
                try await system.run(
                    ["sh", "-c", "head -c 64K /dev/zero >>$0.new && cat $0 >>$0.new && mv $0.new $0", Self.vgabios]
                )
                let roms = "/usr/share/qemu/kvmvapic.bin /usr/share/qemu/linuxboot_dma.bin"
                try await system.run(["sh", "-c", "for rom in \(roms); do head -c 4K /dev/zero >>$rom; done"])
                try await system.run(
                    [
                        "sh", "-c",
                        "cd /var/lib/guests && echo none >new && cp new initrd && cp new secret && cp new user-data && mv new vmlinuz",
                    ]
                )
                try await guest.perdure("upgrade")
                try await expectReboot(guest)
                try await guest.killSupervisor()
                try await guest.systemctl("restart")
                try await expectReboot(guest)
                #expect(try await guest.status().generation == 3)
                #expect(try await guest.journal(.handoverUndone).isEmpty)
                for line in seen { try await guest.console.wait(for: line, count: 3) }
                try await goesOnWithoutFiles(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()

                // And from the larger one to the smaller.
                try await installKernel(on: system)
                try await system.run(["sh", "-c", "cd /var/lib/guests && echo >user-data && echo >secret"])
                try await guest.startAgain()
                try await system.run(["sh", "-c", "tail -c 256K $0 >$0.new && mv $0.new $0", Self.bios])
                #expect(try await system.run(["stat", "-c", "%s", Self.bios]).stdout == small)
                try await system.run(["cp", "/usr/share/seabios/vgabios-cirrus.bin", Self.vgabios])
                let generation = try await guest.status().generation
                try await guest.perdure("upgrade")
                try await expectReboot(guest)
                #expect(try await guest.status().generation == generation + 1)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        /// Files that are gone keep it from being started, and from nothing before that.
        private func goesOnWithoutFiles(_ guest: RunningGuest) async throws {
            let names = ["vmlinuz", "initrd", "secret", "user-data"].map { "/var/lib/guests/\($0)" }
            try await guest.system.run(["rm"] + names)
            let check = try await guest.perdure("check", "--handover")
            for name in names { #expect(check.stdout.contains("'\(name)' is gone")) }
            try await guest.perdure("upgrade")
            try await guest.systemctl("restart")
            try await expectReboot(guest)
            #expect(try await guest.status().generation == 5)
            let warned = try await guest.journal(.preflightWarning).compactMap { $0["MESSAGE"] }
            for name in names { #expect(warned.contains { $0.contains("'\(name)' is gone") }) }
            // What was never copied has to be there.
            guest.plan.kernel?.initrd = "/var/lib/guests/other"
            try await guest.plan.write(to: guest.system)
            let refused = try await guest.perdure("upgrade", check: false)
            #expect(refused.stderr.contains("'/var/lib/guests/other' does not exist"))
            guest.plan.kernel?.initrd = "/var/lib/guests/initrd"
            try await guest.plan.write(to: guest.system)
            try await expectReboot(guest)
        }

        static func seedLine(_ name: String, _ contents: String) -> String {
            let sum = String(crc32(Array(contents.utf8)), radix: 16)
            let padding = String(repeating: "0", count: 8 - sum.count)
            return "perdure-guest seed \(name) size=\(contents.utf8.count) crc=\(padding)\(sum) "
        }

        private func installKernel(on system: BootedSystem) async throws {
            let script =
                "mkdir -p /var/lib/guests && cd /var/lib/guests && cp $0/vmlinuz . && cp $0/initramfs.cpio.gz initrd"
            try await system.run(["sh", "-c", script, GuestPlan.files])
        }

        private func expectReboot(_ guest: RunningGuest) async throws {
            try guest.console.update()
            let boots = GuestConsole(Array(guest.console.bytes)).boots.count
            try await guest.console.wait(for: "perdure-guest ready ", count: boots + 1, deadline: .seconds(180))
            #expect(GuestConsole(Array(guest.console.bytes)).problems.map(\.description) == [])
        }

        private func handOver(_ guest: RunningGuest) async throws {
            for number in 1...Self.handovers {
                try await guest.perdure("upgrade")
                if number == Self.handovers / 2 { try await guest.killSupervisor() }
            }
            let status = try await guest.expectGuestIntact()
            #expect(status.generation == Self.handovers + 1)
            #expect(try await guest.journal(.handoverDone).count == Self.handovers)
        }

        /// What the guest says that it has written and read back.
        private func counters(_ guest: RunningGuest) throws -> [Int] {
            let boot = try guest.console.verified()
            return boot.messages.compactMap { message in
                message.hasPrefix("efi counter=") ? Int(message.dropFirst("efi counter=".count)) : nil
            }
        }
    }
}
