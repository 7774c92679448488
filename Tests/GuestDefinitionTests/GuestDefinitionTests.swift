import GuestDefinition
import Testing

struct GuestDefinitionTests {
    @Test func everyKeyIsUnderstood() throws {
        let (definition, warnings) = try loadWithWarnings(fullText)
        #expect(warnings.isEmpty)
        #expect(
            definition
                == GuestDefinition(
                    name: "demo",
                    description: "Web server, first of two",
                    qemu: "/opt/qemu",
                    hardware: modified(
                        GuestHardware(
                            machine: "pc-q35-7.2",
                            accelerator: .tcg,
                            cpuCount: 4,
                            cpuModel: "EPYC-v1",
                            uuid: "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60",
                            ram: [
                                RAMBlock(id: "main", size: 2 << 30, hugePages: .oneGiB),
                                RAMBlock(id: "more", size: 512 << 20),
                            ],
                            kernel: DirectKernel(
                                image: "/boot/vmlinuz",
                                initrd: "/boot/initrd.img",
                                commandLine: "console=ttyS0  root=/dev/vda # not a comment"
                            ),
                            firmware: Firmware(
                                kind: .uefi,
                                secureBoot: true,
                                image: "/srv/code.fd",
                                variables: VariableStore(path: "/srv/vars.fd", template: "/srv/template.fd")
                            ),
                            disks: [
                                Disk(id: "root", image: "/srv/root.qcow2", format: .qcow2, serial: "ROOT-1"),
                                Disk(
                                    id: "data",
                                    image: "/dev/vg/data",
                                    isBlockDevice: true,
                                    format: .raw,
                                    bus: .virtioSCSI,
                                    readOnly: true,
                                    discard: false,
                                    cache: .directsync,
                                    aio: .native
                                ),
                            ],
                            networks: [
                                Network(
                                    id: "lan",
                                    mac: "52:54:00:aa:bb:01",
                                    interface: "tap-web",
                                    bridge: "br0",
                                    queues: 4,
                                    mtu: 9000,
                                    vhost: .no
                                ),
                                Network(
                                    id: "nat",
                                    type: .user,
                                    mac: "52:54:00:aa:bb:02",
                                    vhost: .no,
                                    forwards: [
                                        PortForward(transport: .tcp, port: 2222, guestPort: 22),
                                        PortForward(transport: .udp, address: "0.0.0.0", port: 53, guestPort: 5353),
                                    ]
                                ),
                            ],
                            cloudInit: CloudInit(
                                instanceID: "web-2",
                                hostname: "web",
                                userData: "/srv/user-data",
                                networkConfig: "/srv/network-config",
                                sshKeys: "/srv/keys.pub"
                            ),
                            credentials: [
                                Credential(id: "root", name: "passwd.hashed-password.root", file: "/srv/secret-root"),
                                Credential(id: "motd", name: "motd", file: "/srv/motd"),
                            ],
                            console: true,
                            devices: GuestDevices(
                                rng: true,
                                balloon: Balloon(freePageReporting: true, deflateOnOOM: false),
                                watchdog: .injectNMI,
                                agent: true,
                                display: true,
                                extraArguments: ["-device", "virtio-keyboard-pci,id=a b", "-msg", "timestamp=on"]
                            )
                        )
                    ) {
                        $0.topology = CPUTopology(sockets: 2, cores: 2, threads: 1)
                        $0.cpuFeatures = ["avx2=on", "x2apic=off"]
                        $0.room = MemoryRoom(maximumSize: 8 << 30, slots: 4)
                        $0.isLocked = true
                    },
                    overcommit: true,
                    handover: HandoverTimeouts(
                        prepare: .seconds(90),
                        sync: .milliseconds(2500),
                        stop: .seconds(3),
                        save: .milliseconds(500),
                        load: .seconds(10),
                        resume: .milliseconds(1500)
                    ),
                    stop: StopPolicy(onStop: .poweroff, timeout: .seconds(3600), limit: .seconds(86400)),
                    crash: CrashPolicy(
                        onCrash: .restart,
                        restartBurst: 5,
                        restartInterval: .seconds(86_400),
                        dump: true,
                        dumpDirectory: "/srv/none-yet",
                        dumpRetain: 100
                    ),
                    consoleRetain: 256 << 10,
                    consoleForward: true,
                    files: ["/etc/perdure/demo.guest"]
                )
        )
    }

    @Test func everythingElseHasADefault() throws {
        let definition = try load(minimalText)
        #expect(
            definition
                == GuestDefinition(
                    name: "demo",
                    hardware: GuestHardware(
                        machine: "q35",
                        accelerator: .kvm,
                        cpuCount: 1,
                        cpuModel: "host",
                        ram: [RAMBlock(id: "main", size: 1 << 30)],
                        kernel: DirectKernel(image: "/boot/vmlinuz")
                    ),
                    files: ["/etc/perdure/demo.guest"]
                )
        )
        #expect(definition.qemu == "/usr/bin/qemu-system-x86_64")
        #expect(definition.consoleRetain == 1 << 20)
        #expect(
            definition.handover
                == HandoverTimeouts(
                    prepare: .seconds(30),
                    sync: .seconds(10),
                    stop: .seconds(5),
                    save: .seconds(5),
                    load: .seconds(5),
                    resume: .seconds(5)
                )
        )
        #expect(definition.stop == StopPolicy(onStop: .poweroff, timeout: .seconds(90), limit: .seconds(1800)))
        #expect(
            definition.crash
                == CrashPolicy(
                    onCrash: .fail,
                    restartBurst: 3,
                    restartInterval: .seconds(600),
                    dump: false,
                    dumpDirectory: "/var/lib/perdure/demo",
                    dumpRetain: 2
                )
        )
    }

    @Test func firmwareHasDefaults() throws {
        #expect(try load(minimalText + "[Firmware]\nType=bios").hardware.firmware == Firmware(kind: .bios))
        for (line, infix) in [("SecureBoot=no", ""), ("SecureBoot=yes", ".ms")] {
            let (code, template) = (
                "/usr/share/OVMF/OVMF_CODE_4M\(infix).fd", "/usr/share/OVMF/OVMF_VARS_4M\(infix).fd"
            )
            let files = MemoryFiles([
                "/etc/perdure/demo.guest": minimalText + "[Firmware]\nType=uefi\n\(line)\n", code: "", template: "",
            ])
            let firmware = try DefinitionLoader(files: files).load("demo").0.hardware.firmware
            #expect(
                firmware
                    == Firmware(
                        kind: .uefi,
                        secureBoot: !infix.isEmpty,
                        image: code,
                        variables: VariableStore(path: "/var/lib/perdure/demo/uefi-variables.fd", template: template)
                    )
            )
        }
    }

    @Test(arguments: [("demo", "demo"), ("Web_1.example", "web-1-example"), ("1.", "1")])
    func theHostNameFollowsFromTheGuests(name: String, expected: String) {
        #expect(CloudInit.hostname(of: name) == expected)
    }

    @Test func cloudInitHasDefaults() throws {
        let cloudInit = try load(minimalText + "[CloudInit]\n").hardware.cloudInit
        #expect(cloudInit == CloudInit(instanceID: "demo", hostname: "demo"))
    }

    @Test func aGuestWithoutAKernelBootsFromItsDisks() throws {
        let text = "[RAM main]\nSize=1G\n[Disk root]\nImage=/srv/root.qcow2\nFormat=qcow2\n"
        #expect(try load(text).hardware.kernel == nil)
    }

    @Test func theDefaultCPUModelFollowsTheAccelerator() throws {
        #expect(try load(minimalText + "[Guest]\nAccelerator=tcg").hardware.cpuModel == "qemu64")
        #expect(try load(minimalText + "[Guest]\nAccelerator=kvm").hardware.cpuModel == "host")
    }

    @Test func theOrderOfNodesAndSlotsIsThatOfFirstAppearance() throws {
        let text =
            minimalText + """
                [RAM alpha]
                Size=32M
                [Disk z]
                Image=/srv/root.qcow2
                Format=qcow2
                [Disk a]
                Image=/srv/data.raw
                Format=raw
                """
        let hardware = try load(text).hardware
        #expect(hardware.ram.map(\.id) == ["main", "alpha"])
        #expect(hardware.disks.map(\.id) == ["z", "a"])
    }

    @Test func readOnlyDisksMayShareAnImage() throws {
        let text = ["a", "b"].map { "[Disk \($0)]\nImage=/srv/data.raw\nFormat=raw\nReadOnly=yes\n" }.joined()
        #expect(try load(minimalText + text).hardware.disks.count == 2)
    }

    @Test(arguments: [
        ("32M", 32 << 20), ("1G", 1 << 30), ("33554432", 32 << 20), ("65536K", 64 << 20), ("63T", 63 << 40),
    ])
    func size(_ text: String, _ bytes: UInt64) throws {
        let definition = try load("[RAM main]\nSize=\(text)\n[Kernel]\nImage=/boot/vmlinuz")
        #expect(definition.hardware.ram == [RAMBlock(id: "main", size: bytes)])
    }

    @Test(arguments: [
        ("5", 5_000_000), ("5s", 5_000_000), ("500ms", 500_000), ("1min 30s", 90_000_000), ("1min30s", 90_000_000),
        ("1.5s", 1_500_000), ("0.25min", 15_000_000), ("2 minutes 3 sec", 123_000_000), ("100000us", 100_000),
        ("100000 µs", 100_000), ("0h 10m", 600_000_000), ("0d 0w 1 second", 1_000_000),
    ])
    func timeSpan(_ text: String, _ microseconds: Int) throws {
        let definition = try load(minimalText + "[Handover]\nSaveTimeoutSec=\(text)")
        #expect(definition.handover.save == .microseconds(microseconds))
    }

    @Test(arguments: ["-5", "5x", "5 s s", ".5s", "1.s", "1..5s", "5S", "infinity", "٣s"])
    func timeSpanIsRefused(_ text: String) {
        let found = diagnostics(minimalText + "[Handover]\nSaveTimeoutSec=\(text)")
        #expect(
            found == [
                "demo.guest:6:16: '\(text)' is not a time span; write it as in '500ms', '5s' or '1min 30s'"
            ]
        )
    }

    @Test(arguments: [
        ("1", true), ("yes", true), ("Y", true), ("TRUE", true), ("t", true), ("on", true),
        ("0", false), ("no", false), ("n", false), ("False", false), ("f", false), ("off", false),
    ])
    func boolean(_ text: String, _ value: Bool) throws {
        #expect(try load(minimalText + "[Console]\nEnable=\(text)").hardware.console == value)
    }

    @Test func lineEndsOfOtherSystemsAndByteOrderMarksAreAccepted() throws {
        let text = "\u{FEFF}" + minimalText.replacing("\n", with: "\r\n")
        #expect(try load(text) == load(minimalText))
    }

    @Test func twoBackslashesDoNotContinueALine() throws {
        let text = minimalText + "CommandLine=a\\\\\n[CPU]\nCount=2"
        let hardware = try load(text).hardware
        #expect(hardware.kernel?.commandLine == #"a\\"#)
        #expect(hardware.cpuCount == 2)
    }

    @Test func anEmptyAssignmentGoesBackToTheDefault() throws {
        let text = minimalText + "[CPU]\nCount=4\nCount=\n[Stop]\nTimeoutSec=1s\nTimeoutSec=\nTimeoutSec=2s"
        let definition = try load(text)
        #expect(definition.hardware.cpuCount == 1)
        #expect(definition.stop.timeout == .seconds(2))
    }
}
