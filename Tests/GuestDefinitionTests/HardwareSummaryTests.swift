import GuestDefinition
import Linux
import Testing

struct HardwareSummaryTests {
    private static let every: GuestHardware = {
        var hardware = GuestHardware(
            machine: "pc-q35-7.2",
            accelerator: .kvm,
            cpuCount: 4,
            cpuModel: "EPYC-v1",
            uuid: "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60",
            ram: [
                RAMBlock(id: "main", size: 256 << 20),
                RAMBlock(id: "more", size: 128 << 20, hugePages: .twoMiB),
            ],
            kernel: nil,
            firmware: Firmware(
                kind: .uefi,
                secureBoot: true,
                image: "/ovmf.fd",
                variables: VariableStore(path: "/vars", template: "/template")
            ),
            disks: [
                Disk(id: "root", image: "/root.raw", format: .raw, serial: "ROOT"),
                Disk(
                    id: "cd",
                    image: "/cd.iso",
                    format: .raw,
                    bus: .virtioSCSI,
                    device: .cdrom,
                    readOnly: true,
                    discard: false,
                    cache: .none,
                    aio: .native
                ),
            ],
            networks: [
                Network(id: "lan", mac: "52:54:00:00:00:01", interface: "tap0", bridge: "br0", queues: 2, mtu: 9000),
                Network(
                    id: "nat",
                    type: .user,
                    mac: "52:54:00:00:00:02",
                    forwards: [PortForward(transport: .tcp, port: 2222, guestPort: 22)]
                ),
                Network(
                    id: "edge",
                    mac: "52:54:00:00:00:03",
                    interface: "tap1",
                    uplink: Network.Uplink(parent: "eth0", interface: "pm1")
                ),
            ],
            cloudInit: CloudInit(instanceID: "i", hostname: "h", userData: "/user-data"),
            credentials: [Credential(id: "root", name: "passwd.hashed-password.root", file: "/password")],
            devices: GuestDevices(
                rng: true,
                balloon: Balloon(freePageReporting: true),
                watchdog: .reset,
                pvpanic: true,
                agent: true,
                tpm: .tis,
                display: true,
                extraArguments: ["-device", "edu"]
            )
        )
        hardware.topology = CPUTopology(sockets: 2, cores: 2, threads: 1)
        hardware.cpuFeatures = ["avx2=off"]
        hardware.room = MemoryRoom(maximumSize: 1 << 30, slots: 4)
        hardware.isLocked = true
        return hardware
    }()

    @Test func nothingIsLeftOut() {
        let lines = Self.every.summary.map { "\($0.title): \($0.text)" }
        #expect(
            lines == [
                "Machine: pc-q35-7.2, kvm",
                "CPUs: 4 × EPYC-v1, avx2=off in 2 sockets, 2 cores and 1 threads each",
                "UUID: b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60",
                "RAM: main 256 MiB, more 128 MiB in huge pages of 2M; locked",
                "Memory: up to 1024 MiB in all, with at most 4 DIMMs",
                "Firmware: uefi with secure boot '/ovmf.fd', variables in '/vars'",
                "Boot order: root, cd",
                "Disk: root: '/root.raw' (virtio-blk, raw, serial 'ROOT')",
                "Disk: cd: '/cd.iso' (virtio-scsi, CD-ROM, raw, read-only, cache none, aio native, no discard)",
                "Network: lan: tap 'tap0' on bridge 'br0', 52:54:00:00:00:01, 2 queues, MTU 9000",
                "Network: nat: user, 52:54:00:00:00:02, tcp:127.0.0.1:2222:22",
                "Network: edge: macvtap 'tap1' on 'eth0', mode bridge, 52:54:00:00:00:03",
                "RNG: random numbers from the host",
                "Balloon: the guest may take memory back, its free memory is given back all the time",
                "Watchdog: i6300esb, then 'reset'",
                "PVPanic: panics of the guest's kernel are reported",
                "Agent: the channel of the QEMU guest agent",
                "TPM: TPM 2.0, tis",
                "Display: VGA, by VNC",
                "Cloud-init: instance 'i', host name 'h', user data from '/user-data'",
                "Credential: root: 'passwd.hashed-password.root' from '/password'",
                "Console: ttyS0",
                "Extra: -device edu",
            ]
        )
    }

    @Test func whatIsNotThereIsNotNamed() {
        let hardware = GuestHardware(
            machine: "q35",
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: "qemu64",
            ram: [RAMBlock(id: "main", size: 64 << 20)],
            kernel: DirectKernel(image: "/k", initrd: "/i", commandLine: "quiet"),
            console: false
        )
        #expect(
            hardware.summary.map { "\($0.title): \($0.text)" } == [
                "Machine: q35, tcg", "CPUs: 1 × qemu64", "RAM: main 64 MiB", "Firmware: bios",
                "Kernel: '/k' with '/i': quiet",
            ]
        )
    }
}
