import Foundation
import GuestDefinition
import Linux
import Testing

/// Each case has a file in Golden/, one argument a line. To write them anew, set PERDURE_RECORD_GOLDEN=1 and read the
/// difference.
struct QEMUCommandLineTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var hardware: GuestHardware
        var descriptors: VMProcessDescriptors
        var version = QEMUVersion(major: 7, minor: 2, micro: 22)
        var remedies: [KnownIncompatibility.Remedy] = []
        var incoming = false
        var copyOnWrite = false
        var testDescription: String { name }
    }

    static let oneBlock = GuestHardware(
        machine: "pc-q35-7.2",
        accelerator: .tcg,
        cpuCount: 2,
        cpuModel: "qemu64-v1",
        ram: [RAMBlock(id: "main", size: 256 << 20)],
        kernel: DirectKernel(
            image: "/boot/vmlinuz",
            initrd: "/boot/initrd.img",
            commandLine: "console=ttyS0 panic=-1 quiet=a,b"
        )
    )
    static let threeBlocks = modified(oneBlock) {
        $0.cpuCount = 4
        $0.ram = ["main", "more", "last"].map { RAMBlock(id: $0, size: 128 << 20) }
        $0.kernel?.initrd = nil
        $0.console = false
    }
    static let twoDisks = modified(oneBlock) {
        $0.uuid = "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60"
        $0.disks = [
            Disk(id: "root", image: "/srv/a,b \"c\"/root.qcow2", format: .qcow2, serial: "ROOT-1"),
            Disk(id: "data", image: "/srv/data.raw", format: .raw, readOnly: true, discard: false),
        ]
    }
    static let manyDisks = modified(oneBlock) {
        $0.disks = [
            Disk(id: "root", image: "/dev/vg/root", isBlockDevice: true, format: .raw, cache: .none, aio: .native),
            Disk(id: "data", image: "/srv/data", format: .qcow2, bus: .virtioSCSI, cache: .writethrough, serial: "D"),
            Disk(id: "fast", image: "/srv/fast", format: .raw, cache: .directsync, aio: .ioUring),
            Disk(id: "seed", image: "/srv/seed", format: .raw, bus: .virtioSCSI, device: .cdrom, readOnly: true),
            Disk(id: "swap", image: "/srv/swap", format: .raw, bus: .virtioSCSI, cache: .unsafe),
        ]
    }
    static let diskBoot = modified(manyDisks) { $0.kernel = nil }
    static let uefi = modified(diskBoot) {
        $0.firmware = Firmware(
            kind: .uefi,
            image: "/usr/share/OVMF/OVMF_CODE_4M.fd",
            variables: VariableStore(path: "/srv/v,1.fd", template: "/t")
        )
        $0.disks.removeLast(3)
    }
    static let secureBoot = modified(uefi) {
        $0.firmware?.secureBoot = true
        $0.ram = threeBlocks.ram
    }
    static let seeded = modified(diskBoot) {
        $0.cloudInit = CloudInit(instanceID: "i", hostname: "h")
        $0.credentials = ["root", "motd"].map { Credential(id: $0, name: "n.\($0)", file: "/srv/secret") }
        $0.disks.removeLast(4)
    }
    static let pinned = modified(all) { $0.files = [.firmware: 30, .kernel: 31, .initrd: 32] }
    static let everyDevice = modified(twoDisks) {
        $0.single = GuestDevices(
            rng: true,
            balloon: Balloon(freePageReporting: true),
            watchdog: .shutdown,
            pvpanic: true,
            agent: true,
            tpm: .tis,
            display: true,
            extraArguments: ["-msg", "timestamp=on"]
        )
    }
    static let grownMemory = modified(oneBlock) {
        $0.ram[0].hugePages = .twoMiB
        $0.cpuCount = 8
        $0.topology = CPUTopology(sockets: 1, cores: 4, threads: 2)
        $0.cpuFeatures = ["avx2=on", "x2apic=off"]
        $0.room = MemoryRoom(maximumSize: 1 << 30, slots: 4)
        $0.isLocked = true
        $0.dimms = [
            DIMM(id: "last", size: 128 << 20, slot: 1, address: 0x1_0800_0000),
            DIMM(id: "more", size: 128 << 20, slot: 0, address: 0x1_0000_0000),
        ]
    }
    static let networks = modified(oneBlock) {
        $0.networks = [
            Network(id: "lan", mac: "52:54:00:aa:bb:01", interface: "tap-web", bridge: "br0"),
            Network(id: "wide", mac: "52:54:00:aa:bb:02", interface: "tap-wide", queues: 2, mtu: 9000),
            Network(
                id: "nat",
                type: .user,
                mac: "52:54:00:aa:bb:03",
                forwards: [
                    PortForward(transport: .tcp, port: 2222, guestPort: 22),
                    PortForward(transport: .udp, address: "0.0.0.0", port: 53, guestPort: 5353),
                ]
            ),
            Network(
                id: "edge",
                mac: "52:54:00:aa:bb:04",
                interface: "tap-edge",
                uplink: Network.Uplink(parent: "eth0", mode: .vepa, interface: "pm-edge")
            ),
        ]
    }
    static let networkDescriptors = VMProcessDescriptors(
        ram: ["main": 20],
        qmp: 10,
        networks: [
            "lan": NetworkDescriptors(taps: [30], vhosts: [40]),
            "wide": NetworkDescriptors(taps: [31, 32], vhosts: [41, 42]),
            "edge": NetworkDescriptors(taps: [33], vhosts: [43]),
        ]
    )
    static let all = VMProcessDescriptors(
        ram: ["main": 20, "more": 21, "last": 22],
        qmp: 10,
        consoleLog: 12,
        agent: 14,
        tpm: 15
    )
    static let cases = [
        Example(name: "one-block", hardware: oneBlock, descriptors: all),
        Example(name: "two-disks", hardware: twoDisks, descriptors: all),
        Example(name: "grown-memory", hardware: grownMemory, descriptors: all, incoming: true),
        Example(
            name: "grown-memory-copy-on-write",
            hardware: grownMemory,
            descriptors: all,
            incoming: true,
            copyOnWrite: true
        ),
        Example(name: "every-device", hardware: everyDevice, descriptors: all, incoming: true),
        Example(name: "many-disks", hardware: manyDisks, descriptors: all),
        Example(
            name: "every-device-pinned",
            hardware: everyDevice,
            descriptors: modified(all) { $0.files = [.firmware: 30, .videoBIOS: 31] },
            incoming: true
        ),
        Example(name: "networks", hardware: networks, descriptors: networkDescriptors),
        Example(
            name: "networks-incoming",
            hardware: networks,
            descriptors: modified(networkDescriptors) {
                for id in $0.networks.keys { $0.networks[id]?.vhosts = [] }
            },
            incoming: true
        ),
        Example(name: "two-disks-incoming", hardware: twoDisks, descriptors: all, incoming: true),
        Example(
            name: "one-block-copy-on-write",
            hardware: oneBlock,
            descriptors: all,
            incoming: true,
            copyOnWrite: true
        ),
        Example(name: "three-blocks-four-cpus", hardware: threeBlocks, descriptors: all),
        Example(
            name: "two-blocks-four-cpus",
            hardware: modified(threeBlocks) { $0.ram.removeLast() },
            descriptors: all
        ),
        Example(
            name: "two-blocks-one-cpu",
            hardware: modified(threeBlocks) {
                $0.cpuCount = 1
                $0.ram.removeLast()
            },
            descriptors: all
        ),
        Example(
            name: "kvm-host",
            hardware: modified(oneBlock) {
                $0.accelerator = .kvm
                $0.cpuModel = "host"
            },
            descriptors: VMProcessDescriptors(ram: ["main": 20], qmp: 10)
        ),
        Example(name: "disk-boot", hardware: diskBoot, descriptors: all),
        Example(
            name: "bios-image",
            hardware: modified(diskBoot) { $0.firmware = Firmware(kind: .bios, image: "/b") },
            descriptors: all
        ),
        Example(name: "pinned", hardware: oneBlock, descriptors: pinned),
        Example(name: "uefi", hardware: uefi, descriptors: all),
        Example(
            name: "uefi-pinned",
            hardware: uefi,
            descriptors: modified(all) { $0.files = [.firmware: 30] },
            incoming: true
        ),
        Example(name: "secure-boot", hardware: secureBoot, descriptors: pinned),
        Example(
            name: "cloud-image",
            hardware: seeded,
            descriptors: modified(all) {
                $0.files = [.firmware: 30, .seed: 31]
                $0.credentials = ["root": 40, "motd": 41]
            }
        ),
        Example(
            name: "qemu-11.1",
            hardware: oneBlock,
            descriptors: VMProcessDescriptors(ram: ["main": 20], qmp: 10, consoleLog: 12),
            version: QEMUVersion(major: 11, minor: 1)
        ),
        Example(
            name: "qemu-11.1-long-queues",
            hardware: twoDisks,
            descriptors: all,
            version: QEMUVersion(major: 11, minor: 1, micro: 3),
            remedies: [.diskQueueSize(1024)],
            incoming: true
        ),
    ]

    @Test(arguments: cases)
    func golden(_ example: Example) throws {
        let arguments = QEMUCommandLine.arguments(
            guest: "web-1",
            generation: 7,
            hardware: example.hardware,
            descriptors: example.descriptors,
            version: example.version,
            remedies: example.remedies,
            incoming: example.incoming,
            copyOnWrite: example.copyOnWrite
        )
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(example.name).args")
        let text = arguments.joined(separator: "\n") + "\n"
        if ProcessInfo.processInfo.environment["PERDURE_RECORD_GOLDEN"] != nil {
            try Data(text.utf8).write(to: file)
        }
        #expect(try text == String(contentsOf: file, encoding: .utf8))
        // A type that is not listed would be taken for one that no QEMU has.
        for (option, value) in zip(arguments, arguments.dropFirst()) {
            let type = String(value.prefix { $0 != "," })
            if option == "-device" { #expect(QEMUCommandLine.deviceTypes.contains(type)) }
            if option == "-object" { #expect(QEMUCommandLine.objectTypes.contains(type)) }
        }
    }

    @Test func nothingDependsOnTheGeneration() {
        let arguments = [1, 2].map {
            QEMUCommandLine.arguments(
                guest: "web-1",
                generation: $0,
                hardware: Self.twoDisks,
                descriptors: Self.all,
                version: QEMUVersion(major: 7, minor: 2),
                incoming: false
            )
        }
        #expect(arguments[0] == arguments[1])
    }

    @Test func versionsAreOrdered() {
        #expect(QEMUVersion(major: 7, minor: 2, micro: 22) < QEMUVersion(major: 10, minor: 0, micro: 13))
        #expect(QEMUVersion(major: 11, minor: 0, micro: 9) < QEMUVersion(major: 11, minor: 1))
        #expect(QEMUVersion(major: 7, minor: 2, micro: 22).description == "7.2.22")
    }

    @Test(arguments: [
        (["-netdev", "user,id=net.lan"], true), (["-nic", "user"], true), (["-netdev", "tap,id=user,fd=3"], false),
        (["-name", "user,", "-S"], false), (["-netdev"], false),
    ])
    func onlyUserNetworkingNeedsTheHostsNetwork(arguments: [String], needs: Bool) {
        #expect(QEMUCommandLine.needsNetwork(arguments) == needs)
    }

    /// QEMU finds an image that it may not open itself in a descriptor set, the same in each VM process.
    @Test func imagesAreFoundByDescriptorSet() {
        var descriptors = VMProcessDescriptors(ram: ["main": 5], qmp: 3)
        descriptors.images = ["root": DescriptorSet(number: 17, descriptors: [8, 9])]
        let hardware = GuestHardware(
            machine: "pc-q35-7.2",
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: "qemu64-v1",
            ram: [RAMBlock(id: "main", size: 64 << 20)],
            kernel: DirectKernel(image: "/vmlinuz"),
            disks: [Disk(id: "root", image: "/var/lib/guests/web.img", format: .raw)]
        )
        #expect(hardware.images.map(\.set) == [17])
        let arguments = QEMUCommandLine.arguments(
            guest: "web",
            generation: 1,
            hardware: hardware,
            descriptors: descriptors,
            version: QEMUVersion(major: 7, minor: 2),
            incoming: false
        )
        #expect(arguments.contains { $0.contains(#""filename":"/dev/fdset/17""#) })
        #expect(!arguments.contains { $0.contains("web.img") })
        #expect(arguments.filter { $0.hasPrefix("fd=") } == ["fd=8,set=17", "fd=9,set=17"])
    }
}

func modified<Value>(_ value: Value, _ change: (inout Value) -> Void) -> Value {
    var copy = value
    change(&copy)
    return copy
}
