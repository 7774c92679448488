import FoundationEssentials
import Glibc
import GuestDefinition
import Linux
import QMP
import Testing

@testable import Supervisor

/// What is gathered, and which findings come of it.
struct PreflightTests {
    private static let hardware = GuestHardware(
        machine: "pc-q35-7.2",
        accelerator: .tcg,
        cpuCount: 1,
        cpuModel: "qemu64-v1",
        ram: [RAMBlock(id: "main", size: 128 << 20)],
        kernel: DirectKernel(image: "/boot/vmlinuz"),
        disks: [Disk(id: "root", image: "/srv/root.raw", format: .raw, serial: "ROOT")]
    )
    private static let qemu = "/usr/bin/qemu"
    private static let version = QEMUVersion(major: 7, minor: 2)
    private static let facts = QEMUFacts(
        path: qemu,
        version: version,
        package: "",
        machines: ["pc-q35-7.2": "pc-q35-7.2"],
        deprecatedMachines: [],
        cpuModels: [:],
        hasFileMigration: false,
        hasExitOnError: false,
        capabilities: ["x-ignore-shared", "events", "late-block-activate"],
        properties: properties,
        characterBackends: ["socket", "null"],
        blockDrivers: ["file", "raw"]
    )
    private static let properties: [String: Set<String>] = [
        "virtio-blk-pci": ["drive", "serial", "addr"], "isa-serial": ["chardev", "index"],
        "memory-backend-file": ["size", "mem-path", "share"],
    ]
    private static let cpu = CPUFeatures(
        words: [register(1): 0b111],
        identity: ["family": "15", "vendor": "AuthenticAMD"],
        names: ["fpu", "vme", "de"],
        places: [["socket-id": 0, "core-id": 0], ["socket-id": 0, "core-id": 1]]
    )

    private static func register(_ leaf: UInt32) -> CPUFeatures.Register {
        CPUFeatures.Register(leaf: leaf, subleaf: 0, name: "EDX")
    }

    /// Nothing speaks against this one.
    static let clean: Preflight = {
        let size: UInt64 = 128 << 20
        var preflight = Preflight(guest: "web", hardware: hardware, program: .usable(facts))
        preflight.ram = [Preflight.RAM(id: "main", size: size, isStored: true, mapped: size, mappedByNext: size)]
        preflight.running = Preflight.Running(
            title: "VM process 7 (pid 1)",
            state: .running,
            backends: [Preflight.Backend(id: "ram.main", size: size, isShared: true)],
            commandLine: [qemu]
                + QEMUCommandLine.arguments(
                    guest: "web",
                    generation: 7,
                    hardware: hardware,
                    descriptors: VMProcessDescriptors(ram: ["main": 20], qmp: 10, consoleLog: 12),
                    version: version,
                    incoming: false
                ),
            cpu: cpu,
            qemu: qemu,
            version: version
        )
        preflight.machine = .up(cpu: cpu)
        preflight.memory = Preflight.Memory(
            needed: 60 << 20,
            available: 1 << 30,
            group: ("perdure-web.slice", 80 << 20)
        )
        return preflight
    }()

    struct Row: Sendable, CustomTestStringConvertible {
        var severity: Finding.Severity
        var identifier: Finding.Identifier
        /// In the sentence.
        var text: String
        var change: @Sendable (inout Preflight) -> Void

        var testDescription: String { "\(identifier.rawValue): \(text)" }

        init(
            _ severity: Finding.Severity,
            _ identifier: Finding.Identifier,
            _ text: String,
            _ change: @escaping @Sendable (inout Preflight) -> Void
        ) {
            (self.severity, self.identifier, self.text, self.change) = (severity, identifier, text, change)
        }

        /// One of the next QEMU's facts is different.
        static func facts(
            _ severity: Finding.Severity,
            _ identifier: Finding.Identifier,
            _ text: String,
            _ change: @escaping @Sendable (inout QEMUFacts) -> Void
        ) -> Row {
            Row(severity, identifier, text) { preflight in
                var facts = PreflightTests.facts
                change(&facts)
                preflight.program = .usable(facts)
            }
        }

        /// The next QEMU's CPU is different.
        static func cpu(
            _ severity: Finding.Severity,
            _ identifier: Finding.Identifier,
            _ text: String,
            _ change: @escaping @Sendable (inout CPUFeatures) -> Void
        ) -> Row {
            Row(severity, identifier, text) { preflight in
                var cpu = PreflightTests.cpu
                change(&cpu)
                preflight.machine = .up(cpu: cpu)
            }
        }
    }

    /// The guest has a network, of which something is different.
    private static func network(
        _ severity: Finding.Severity,
        _ identifier: Finding.Identifier,
        _ text: String,
        _ change: @escaping @Sendable (inout Preflight.NetworkState) -> Void
    ) -> Row {
        Row(severity, identifier, text) { preflight in
            let lan = Network(id: "lan", mac: "52:54:00:aa:bb:01", interface: "tap0", bridge: "br0")
            var network = Preflight.NetworkState(network: lan, bridge: "br0")
            change(&network)
            preflight.networks = [network]
        }
    }

    private static let rows: [Row] = [
        Row(.blocker, .ramMissing, "'ram.main' is not in the file descriptor store") { $0.ram[0].isStored = false },
        Row(.blocker, .ramNotShared, "VM process 7 (pid 1) maps 64 MiB of 'ram.main', not its 128 MiB") {
            $0.ram[0].mapped = 64 << 20
        },
        Row(.blocker, .ramNotShared, "the next VM process maps 0 MiB of 'ram.main'") { $0.ram[0].mappedByNext = 0 },
        Row(.blocker, .ramNotShared, "has 'ram.main' as 128 MiB of private memory") {
            $0.running?.backends[0].isShared = false
        },
        Row(.blocker, .ramNotShared, "has 'ram.main' as 64 MiB of shared memory") {
            $0.running?.backends[0].size = 64 << 20
        },
        Row(.blocker, .ramUnknown, "memory 'dimm' of 32 MiB") {
            $0.running?.backends.append(Preflight.Backend(id: "dimm", size: 32 << 20, isShared: true))
        },
        Row(.note, .sharedHugePagesOff, "each VM process takes up to 1 MiB to keep track of them") {
            $0.sharedHugePages = "never"
        },
        // QEMU is not asked about what the guest has by it.
        Row(.warning, .argumentsUnproven, "'-device edu,id=a' may or may not cross a handover") {
            $0.hardware.single.extraArguments = ["-device", "edu,id=a"]
            $0.running?.commandLine += ["-device", "edu,id=a"]
        },
        Row(.blocker, .devicesDiffer, "would have 'isa-serial,chardev=console,index=0', 'virtio-blk-pci") {
            $0.running?.commandLine += ["-device", "edu,id=a"]
        },
        // What others have started is compared by what its guest sees.
        Row(.blocker, .devicesDiffer, "on its PCI bus 1af4:1001 at 5.0, and the next one would have 1af4:1001 at 10.0")
        {
            $0.running?.commandLine = ["qemu", "-device", "virtio-blk-pci"]
            $0.running?.pci = [PCIFunction(slot: 5, function: 0, vendor: 0x1AF4, device: 0x1001)]
            $0.pci = [PCIFunction(slot: 16, function: 0, vendor: 0x1AF4, device: 0x1001)]
        },
        Row(.blocker, .guestNotRunning, "in QEMU's state 'paused'") { $0.running?.state = .paused },
        Row(.blocker, .migrationBlocked, "can't save this guest: VFIO") { $0.running?.blockers = ["VFIO"] },
        Row(.blocker, .qemuUnusable, "it exited") { $0.program = .unusable("it exited") },
        .facts(.blocker, .machineUnknown, "has no machine type 'pc-q35-7.2'") { $0.machines = [:] },
        .facts(.warning, .machineDeprecated, "'pc-q35-7.2'") { $0.deprecatedMachines = ["pc-q35-7.2"] },
        .facts(.blocker, .capabilityMissing, "'late-block-activate'") { $0.capabilities.remove("late-block-activate") },
        .facts(.blocker, .deviceMissing, "no device 'virtio-blk-pci'") { $0.properties["virtio-blk-pci"] = nil },
        .facts(.blocker, .backendMissing, "no backend object 'memory-backend-file'") {
            $0.properties["memory-backend-file"] = nil
        },
        .facts(.blocker, .backendMissing, "no character device backend 'null'") { $0.characterBackends.remove("null") },
        .facts(.blocker, .backendMissing, "no block driver 'raw'") { $0.blockDrivers.remove("raw") },
        .facts(.blocker, .deviceMissing, "no property 'serial' of the device 'virtio-blk-pci'") {
            $0.properties["virtio-blk-pci"] = ["drive", "addr"]
        },
        Row(
            .blocker,
            .queuesTooLong,
            "has booted in QEMU 10.0.13, which made the queues of [Network lan] longer than QEMU '/usr/bin/qemu'"
        ) {
            $0.bootedIn = QEMUVersion(major: 10, minor: 0, micro: 13)
            var facts = PreflightTests.facts
            facts.version = QEMUVersion(major: 11, minor: 1)
            facts.properties["monitor-qmp"] = ["chardev"]
            facts.properties["virtio-net-pci"] = ["netdev", "mac", "addr", "romfile"]
            $0.program = .usable(facts)
            let lan = Network(id: "lan", mac: "52:54:00:aa:bb:01", interface: "tap0")
            $0.hardware.networks = [lan]
            $0.running?.version = facts.version
            $0.running?.commandLine += [
                "-device", "virtio-net-pci,id=nic.lan,netdev=net.lan,mac=\(lan.mac),addr=0x8,romfile=",
            ]
        },
        Row(.blocker, .devicesDiffer, "'isa-serial,chardev=console,index=0'") { $0.running?.commandLine = ["qemu"] },
        Row(.blocker, .cpuUnavailable, "'qemu64-v1': TCG can't") { $0.machine = .refused("TCG can't") },
        .cpu(.blocker, .cpuBitsMissing, "would lose de, vme in") {
            $0 = CPUFeatures(words: [register(1): 0b001], identity: $0.identity, names: ["fpu"])
        },
        .cpu(.blocker, .cpuBitsMissing, "would lose CPUID 1h.0 EDX bit 2 in") {
            $0 = CPUFeatures(words: [register(1): 0b011], identity: $0.identity)
        },
        .cpu(.note, .cpuBitsAdded, "more features") { $0.words[register(7)] = 1 },
        .cpu(.warning, .cpuDiffers, "family 15 becomes 6") { $0.identity["family"] = "6" },
        .cpu(.blocker, .cpuBitsMissing, "CPU 1 of the guest, a 'qemu64-v1', would lose CPUID 1h.0 EDX bit 2 in") {
            $0.exceptions[1] = CPUFeatures(words: [register(1): 0b011], identity: $0.identity)
        },
        .cpu(.warning, .cpuDiffers, "CPU 1 of the guest, a 'qemu64-v1', is another one in the next QEMU: family 15") {
            $0.exceptions[1] = CPUFeatures(words: $0.words, identity: ["family": "6"])
        },
        .cpu(.blocker, .cpuMoved, "CPU 1 is socket-id 1 instead of socket-id 0") {
            $0.places = [["socket-id": 0, "core-id": 0], ["socket-id": 1, "core-id": 1, "module-id": 0]]
        },
        Row(.blocker, .memoryShort, "needs 60 MiB besides the RAM, and the host has 50 MiB") {
            $0.memory?.available = 50 << 20
        },
        Row(.blocker, .memoryShort, "'perdure-web.slice' has 50 MiB") {
            $0.memory?.group = ("perdure-web.slice", 50 << 20)
        },
        network(.warning, .connectionsCut, "user networking of [Network lan]") { $0.network.type = .user },
        network(.blocker, .vhostMissing, "[Network lan] has VHost=yes") {
            ($0.network.vhost, $0.hasVHost) = (.yes, false)
        },
        Row(.blocker, .tpmMissing, "'/usr/bin/swtpm' can't be used, and the guest has a TPM") {
            $0.tpmProblem = .missing
        },
        Row(.blocker, .tpmGone, "the process of the guest's TPM has ended") { $0.tpmProblem = .gone },
        network(.warning, .bridgeMissing, "there is no bridge 'br0', which [Network lan] names") {
            ($0.bridgeProblem, $0.bridge) = ("there is no bridge 'br0'", nil)
        },
        network(.warning, .parentMissing, "there is no interface 'eth9', which [Network lan] names") {
            $0.parentProblem = "there is no interface 'eth9', which [Network lan] names; change Parent="
            $0.isConnected = false
        },
        network(.warning, .networkMoved, "'tap0' of [Network lan] does not lead to 'eth0' as the definition has it") {
            ($0.network.bridge, $0.bridge) = (nil, nil)
            $0.network.uplink = Network.Uplink(parent: "eth0", interface: "pm0")
            $0.isConnected = false
        },
        network(.warning, .networkGone, "'tap0' of [Network lan] is gone") { $0.isThere = false },
        network(.warning, .networkMoved, "is a port of 'br1' instead of one of 'br0'") { $0.bridge = "br1" },
        network(.warning, .networkMoved, "is no bridge's port instead of one of 'br0'") { $0.bridge = nil },
        network(.warning, .networkMoved, "is a port of 'br0'") { $0.network.bridge = nil },
        Row(.warning, .startFileGone, "'/boot/vmlinuz' is gone") { $0.goneFiles = ["/boot/vmlinuz"] },
        Row(.warning, .needsPowerCycle, "[CPU] Count=") { $0.changes.waiting = ["[CPU] Count= is 2"] },
        Row(.note, .appliedByHandover, "Retain=") { $0.changes.applied = ["[Console] Retain= is 2M"] },
        Row(.note, .appliedByHandover, "instead of '/opt/qemu' (7.2.0)") { $0.running?.qemu = "/opt/qemu" },
        Row(.note, .firmwareOutdated, "another firmware than '/bios' is now") { $0.replacedFirmware = ["/bios"] },
        Row(.note, .qemuOutdated, "'/usr/bin/qemu' and 1 more files") {
            $0.running?.replacedFiles = ["/usr/bin/qemu", "/usr/lib/libglib.so"]
        },
    ]

    @Test func nothingSpeaksAgainstACleanOne() {
        #expect(Self.clean.findings.map(\.description) == [])
    }

    @Test(arguments: rows)
    func table(row: Row) throws {
        var preflight = Self.clean
        row.change(&preflight)
        let findings = preflight.findings
        #expect(findings.count == 1, "\(findings)")
        let finding = try #require(findings.first)
        #expect(finding.severity == row.severity)
        #expect(finding.identifier == row.identifier)
        #expect(finding.sentence.contains(row.text), "\(finding)")
        #expect(!finding.remedy.isEmpty)
    }

    /// All but the one that the definition itself causes, which never gets that far.
    @Test func everyFindingIsInTheTable() {
        let known = Set(Self.rows.map(\.identifier)).union([.definitionInvalid])
        #expect(known == Set(Finding.Identifier.allCases))
    }

    @Test func blockersComeFirst() {
        var preflight = Self.clean
        for row in Self.rows { row.change(&preflight) }
        let severities = preflight.findings.map(\.severity)
        #expect(severities.count > 10)
        let order = Finding.Severity.allCases
        #expect(severities == order.flatMap { severity in severities.filter { $0 == severity } })
    }

    /// The guest's VM process may be gone, and the next not there yet.
    @Test func aSavedGuest() {
        var preflight = Self.clean
        (preflight.running, preflight.machine, preflight.memory) = (nil, nil, nil)
        preflight.ram[0].mapped = nil
        preflight.ram[0].mappedByNext = nil
        #expect(preflight.findings.isEmpty)
    }

    /// A QEMU that is only asked has one CPU: each of the guest's is compared with that.
    @Test func aSecondCPUThatIsUnlikeTheFirst() {
        var preflight = Self.clean
        var cpu = Self.cpu
        cpu.exceptions[1] = CPUFeatures(words: [Self.register(1): 0b1111], identity: cpu.identity)
        preflight.running?.cpu = cpu
        preflight.machine = .up(cpu: Self.cpu)
        #expect(preflight.findings.map(\.identifier) == [.cpuBitsMissing])
        preflight.machine = .up(cpu: cpu)
        #expect(preflight.findings.isEmpty)
    }

    /// As QEMU 7.2 and 10.0 say it of two cores.
    @Test func placesAsQEMUSaysThem() throws {
        func cpus(_ more: String) throws -> [QueryCPUs.CPU] {
            let text = """
                [{"thread-id": 7, "props": {"core-id": 0, "thread-id": 0, \(more)"die-id": 0, "socket-id": 0},
                "qom-path": "/machine/unattached/device[0]", "cpu-index": 0, "target": "x86_64"},
                {"thread-id": 8, "props": {"core-id": 1, "thread-id": 0, \(more)"die-id": 0, "socket-id": 0},
                "qom-path": "/machine/unattached/device[2]", "cpu-index": 1, "target": "x86_64"}]
                """
            return try JSONDecoder().decode([QueryCPUs.CPU].self, from: Data(text.utf8))
        }
        let (old, new) = (try cpus(""), try cpus(#""module-id": 0, "#))
        #expect(old.map(\.path) == ["/machine/unattached/device[0]", "/machine/unattached/device[2]"])
        #expect(old[1].place["core-id"] == 1)
        var features = [Self.cpu, Self.cpu]
        features[0].places = old.map(\.place)
        features[1].places = new.map(\.place)
        #expect(features[0].moves(in: features[1]) == [])
        features[1].places.swapAt(0, 1)
        #expect(features[0].moves(in: features[1]).first == "CPU 0 is core-id 1 instead of core-id 0")
    }

    @Test func registersThatOneSideDoesNotKnowAreZero() {
        var next = Self.cpu
        next = CPUFeatures(words: next.words.merging([Self.register(9): 0]) { $1 }, identity: next.identity)
        #expect(Self.cpu.lost(in: next).isEmpty && !next.hasMore(than: Self.cpu))
        #expect(Self.cpu.lost(in: CPUFeatures(words: [:])).count == 3)
    }
}

struct GatheringTests {
    private static let maps = """
        55d0c0000000-55d0c0100000 r--p 00000000 fe:00 101                        /usr/bin/qemu
        55d0c0100000-55d0c0200000 r-xp 00100000 fe:00 101                        /usr/bin/qemu
        7f0000000000-7f0001000000 r-xp 00000000 00:01 7                          /memfd:tcg-jit (deleted)
        7f0002000000-7f0002001000 r-xp 00000000 fe:00 103                        /usr/lib/with space.so (deleted)
        7f0003000000-7f0003001000 r--p 00000000 fe:00 104                        /usr/share/data (deleted)
        7f0004000000-7f0004001000 r-xp 00000000 fe:00 105                        /usr/lib/libglib.so
        7f0005000000-7f0005001000 r-xp 00000000 00:00 0                          [vdso]
        7f0006000000-7f0006001000 rw-p 00000000 00:00 0
        broken
        """

    @Test func onlyProgramFilesCanBeOutdated() {
        let mappings = Mappings(text: Array(Self.maps.utf8))
        #expect(mappings.entries.count == 8)
        #expect(OutdatedProgram.replacedFiles(mappings) { _ in false } == ["/usr/lib/with space.so"])
        let replaced = OutdatedProgram.replacedFiles(mappings) { $0.path == "/usr/lib/libglib.so" }
        #expect(replaced == ["/usr/lib/with space.so", "/usr/lib/libglib.so"])
    }

    @Test func thisProcessIsNotOutdated() throws {
        let view = try OwnCalls().look(at: ProcessHandle(pid: getpid()))
        #expect(!view.executed.isEmpty)
        #expect(OutdatedProgram.replacedFiles(view) == [])
    }

    @Test func memoryOfThisProcess() throws {
        let own = try MemoryInformation.anonymous(of: getpid())
        #expect(own > 1 << 20 && own < 8 << 30)
        #expect(throws: SystemCallError.self) { try MemoryInformation.anonymous(of: -1) }
        #expect(MemoryInformation.groupWithLeastRoom(of: -1) == nil)
    }

    @Test func partsOfACommandLine() {
        let parts = CommandLineParts([
            "-device", "a,id=x,drive=y", "-device", "a,serial=z", "-chardev", "null,id=c", "-mon", "chardev=c",
            "-blockdev", #"{"driver":"file","filename":"a,b"}"#, "-blockdev", "broken", "-object", "o,id=m,size=1",
        ])
        #expect(parts.devices == ["'a,id=x,drive=y'", "'a,serial=z'"])
        #expect(parts.all.map(\.type) == ["a", "null", "file", "o"])
        #expect(parts.all.map(\.properties) == [["drive", "serial"], [], [], ["size"]])
        // Which descriptor a pinned ROM comes by is not the guest's business.
        let pinned = CommandLineParts(["-device", "VGA,id=v,addr=0x1,romfile=/proc/self/fd/9"])
        #expect(pinned.devices == ["'VGA,id=v,addr=0x1'"])
        #expect(CommandLineParts(["-device", "a,romfile="]).devices == ["'a,romfile='"])
    }
}
