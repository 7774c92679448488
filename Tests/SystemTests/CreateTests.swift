import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Guests that are made from a cloud image by one command.
    @Suite struct CreateTests {
        private static let image = "/var/lib/guests/cloud.qcow2"
        private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@example"

        @Test func aGuestIsMadeFromAnImageAndBoots() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(testedMiB: 8, diskFormat: nil, options: ["seed=1"])
                (plan.kernel, plan.sections) = (nil, BootDisk.section)
                try await BootDisk.make(for: plan, on: system)
                try await system.run(["qemu-img", "convert", "-O", "qcow2", BootDisk.path, Self.image])
                try await system.write("/root/.ssh/id_ed25519.pub", "\(Self.key)\n")
                let sum = try await system.run(["sha256sum", Self.image]).stdout
                try await expectRefusalsLeaveNothing(system)

                let create = ["perdure", "create", "web", "--image", "/var/lib/guests/../guests/cloud.qcow2"]
                let options = [
                    "--accelerator", "tcg", "--ssh-key", "/root/.ssh/id_ed25519.pub", "--memory", "256M", "--cpus", "2",
                    "--disk", "1G", "--forward", "tcp:2222:22", "--forward", "udp:5353:53",
                ]
                let words = try await system.run(create + options).stdout
                #expect(words.contains("systemctl enable --now perdure@web"))
                let information = try await system.run(["qemu-img", "info", "/var/lib/perdure/web/disk.qcow2"]).stdout
                #expect(information.contains("virtual size: 1 GiB"))
                #expect(information.contains("backing file: \(Self.image)\n"))
                let again = try await system.run(create + options, check: false)
                #expect(again.status == 75)
                #expect(again.stderr.contains("there is a guest 'web' already, in '/etc/perdure/web.guest'"))

                let network = "[Network nat]\nType=user\nForward=tcp:2222:22 udp:5353:53\n"
                #expect(try await system.run(["cat", "/etc/perdure/web.guest"]).stdout.contains(network))

                try await system.run(["systemctl", "enable", "--now", "perdure@web"])
                // QEMU listens in the guest's stead.
                try await system.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2222"])
                let console = try await ConsoleFollower(following: "web", in: system)
                let metaData =
                    #"{"instance-id":"web","local-hostname":"web","public-keys":["\#(Self.key)"]}"# + "\n"
                try await console.wait(for: BootTests.seedLine("meta-data", metaData), deadline: .seconds(180))
                try await console.wait(for: BootTests.seedLine("user-data", ""))
                try await system.run(["perdure", "upgrade", "web"])
                try await console.wait(forTick: console.lastTick + 3)
                try await system.run(["systemctl", "stop", "perdure@web"])
                #expect(try console.verified().messages.allSatisfy { !$0.hasPrefix("error") })
                #expect(try await system.run(["sha256sum", Self.image]).stdout == sum)
            }
        }

        private func expectRefusalsLeaveNothing(_ system: BootedSystem) async throws {
            try await system.run(["sh", "-c", "cp /root/.ssh/id_ed25519.pub /root/empty && : >/root/empty"])
            try await system.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-b", Self.image, "-F", "qcow2", "/root/overlay"]
            )
            try await system.run(["qemu-img", "create", "-q", "-f", "vmdk", "/root/vmdk", "16M"])
            let refusals: [(options: [String], status: Int32, reason: String)] = [
                (["--image", "/root/none"], 64, "'/root/none' can't be used: No such file"),
                (["--image", "/root/overlay"], 75, "'/root/overlay' is itself an overlay"),
                (["--image", "/root/vmdk"], 75, "has the format 'vmdk'"),
                (["--image", Self.image, "--disk", "16M"], 75, "is less than the 48 MiB"),
                (["--image", Self.image, "--accelerator", "xen"], 64, "is neither 'kvm' nor 'tcg'"),
                (["--image", Self.image, "--disk", "x"], 64, "'x' is not a size"),
                (["--image", Self.image, "--ssh-key", "/root/empty"], 1, "'/root/empty' has no SSH key"),
                (["--image", Self.image, "--memory", "1M"], 78, "'1M' is out of range"),
                (["--image", Self.image, "--cpus", "0"], 78, "'0' is out of range"),
                (["--image", Self.image, "--forward", "22"], 78, "'22'"),
                (
                    ["--image", Self.image, "--bridge", "br0", "--forward", "tcp:2:2"], 64,
                    "does not go with '--bridge'"
                ),
            ]
            for refusal in refusals {
                let output = try await system.run(["perdure", "create", "web"] + refusal.options, check: false)
                #expect(output.status == refusal.status, "\(refusal.options)")
                #expect(output.stderr.contains(refusal.reason), "\(output.stderr)")
                let left = try await system.run(
                    ["sh", "-c", "ls -d /etc/perdure/web* /var/lib/perdure/web"],
                    check: false
                )
                #expect(left.stdout.isEmpty, "\(refusal.options)")
            }
        }
    }
}
