import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// The test guest itself, on plain QEMU: what the other tests take for granted.
    @Suite(
        .enabled(
            if: FileManager.default.fileExists(atPath: BootedSystem.cache + "/initramfs.cpio.gz"),
            "the test guest is not built"
        )
    )
    struct GuestTests {
        /// Runs a guest to its end and returns its console.
        /// - Parameter monitor: commands that print what QEMU's monitor is to do.
        private func boot(_ system: BootedSystem, options: String, monitor: String = "true") async throws
            -> GuestConsole
        {
            let command = """
                test -e /var/lib/disk.img || truncate -s 16M /var/lib/disk.img
                : >/run/console
                { \(monitor); } | qemu-system-x86_64 -accel tcg -machine q35 -m 128 -nodefaults -display none \
                    -kernel /var/lib/perdure-tests/vmlinuz -initrd /var/lib/perdure-tests/initramfs.cpio.gz \
                    -append 'console=ttyS0 quiet panic=-1 perdure.disk=/dev/vda perdure.ram=8 \(options)' \
                    -drive file=/var/lib/disk.img,format=raw,if=virtio,cache=none \
                    -serial file:/run/console -monitor stdio
                """
            try await system.run(["sh", "-c", command], deadline: .seconds(120))
            return GuestConsole(try await system.read("/run/console"))
        }

        @Test func keepsItsDiskLogAndObeysThePowerButton() async throws {
            try await withBootedSystem { system in
                let first = try await boot(system, options: "perdure.poweroff_after=60 perdure.writer=1").verified()
                #expect(first.lastTick == 60)
                #expect(first.ending == .powerOff)
                #expect(first.heartbeatAddress != 0)
                #expect(first.sweeps > 0)
                #expect(first.pages == 2048)
                #expect(first.diskRecords > 0)
                #expect(first.writtenMiB > 0)

                let second = try await boot(
                    system,
                    options: "perdure.tick_ms=20",
                    monitor: "tail -n +1 -f /run/console | grep -q tick=000040; echo system_powerdown"
                ).verified()
                #expect(second.ending == .powerOff)
                #expect(second.id != first.id)
                let found = second.messages.first { $0.hasPrefix("disk found=") }?.split(separator: "=").last
                // One more may have been acknowledged after the last tick.
                #expect(try #require(found.flatMap { UInt64($0) }) >= first.diskRecords)
                #expect(second.diskRecords > first.diskRecords)

                let log = try GuestDiskLog(image: system.hostPath("/var/lib/disk.img"))
                #expect(log.problems == [])
                #expect(log.lastRecord >= second.diskRecords)
                #expect(log.boots == [first.id, second.id])
            }
        }
    }
}
