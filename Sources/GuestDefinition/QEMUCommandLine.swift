import FoundationEssentials

/// The file descriptors that a VM process inherits, by their numbers in the VM process.
public struct VMProcessDescriptors: Sendable, Equatable {
    /// The memfd of each RAM block, by the block's ID.
    public var ram: [String: Int32]
    /// One end of a socket pair.
    public var qmp: Int32
    /// A file or memfd that console output is appended to; without it, it is dropped.
    public var consoleLog: Int32?
    /// What stands for the files that the hardware names; where one is missing, the file itself is used.
    public var files: [PinnedFile: Int32]
    /// One end of a socket pair for the guest agent's channel.
    public var agent: Int32?
    /// One end of a socket pair for the control channel of the guest's TPM.
    public var tpm: Int32?
    /// What SMBIOS says of each credential, by the credential's ID.
    public var credentials: [String: Int32]
    /// Of each network with a tap, by the network's ID.
    public var networks: [String: NetworkDescriptors]
    /// The open image of each disk and of the firmware's variables, by `Disk.id`: the VM process may not be able to open
    /// it. Where it is missing, the VM process opens the file itself.
    public var images: [String: DescriptorSet] = [:]

    public init(
        ram: [String: Int32],
        qmp: Int32,
        consoleLog: Int32? = nil,
        files: [PinnedFile: Int32] = [:],
        agent: Int32? = nil,
        tpm: Int32? = nil,
        credentials: [String: Int32] = [:],
        networks: [String: NetworkDescriptors] = [:]
    ) {
        self.ram = ram
        self.qmp = qmp
        self.consoleLog = consoleLog
        self.files = files
        self.agent = agent
        self.tpm = tpm
        self.credentials = credentials
        self.networks = networks
    }
}

public struct NetworkDescriptors: Sendable, Equatable {
    /// One for each queue.
    public var taps: [Int32]
    /// /dev/vhost-net, as often as there are queues; empty where QEMU is to move the packets.
    public var vhosts: [Int32]

    public init(taps: [Int32], vhosts: [Int32] = []) {
        self.taps = taps
        self.vhosts = vhosts
    }
}

/// Several open file descriptions of one file, of which QEMU takes the one that has the access mode it wants.
public struct DescriptorSet: Sendable, Equatable {
    /// The same for the same file in each VM process.
    public var number: Int
    public var descriptors: [Int32]

    public init(number: Int, descriptors: [Int32]) {
        self.number = number
        self.descriptors = descriptors
    }

    var path: String { "/dev/fdset/\(number)" }
    var arguments: [String] { descriptors.flatMap { ["-add-fd", "fd=\($0),set=\(number)"] } }
}

/// The arguments of a VM process.
///
/// Two VM processes that take over from each other must show the guest the same devices at the same addresses, so
/// every ID and address is spelled out and depends on the hardware alone; only QEMU's spelling depends on its version.
public enum QEMUCommandLine {
    /// Makes the arguments, without `argv[0]`.
    ///
    /// - Parameters:
    ///   - hardware: With machine type and CPU model already pinned to versioned names.
    ///   - descriptors: Must hold a memfd for each RAM block of `hardware`.
    ///   - remedies: What makes this QEMU take the guest's state.
    ///   - incoming: Whether the VM process waits for device state instead of booting.
    ///   - copyOnWrite: Whether what the VM process writes to RAM is for itself alone.
    public static func arguments(
        guest name: String,
        generation: Int,
        hardware: GuestHardware,
        descriptors: VMProcessDescriptors,
        version: QEMUVersion,
        remedies: [KnownIncompatibility.Remedy] = [],
        incoming: Bool,
        copyOnWrite: Bool = false
    ) -> [String] {
        var arguments = ["-name", "guest=\(name),process=qemu-\(name)"]
        if let uuid = hardware.uuid { arguments += ["-uuid", uuid] }
        arguments += processor(of: hardware)
        arguments += ["-nodefaults", "-no-user-config", "-display", "none", "-only-migratable", "-S"]
        arguments += actions(of: hardware)
        arguments += [
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ]
        arguments += memory(of: hardware, descriptors.ram, copyOnWrite: copyOnWrite)
        arguments += monitor(descriptors.qmp, version)
        if hardware.console { arguments += console(descriptors) }
        arguments += firmware(of: hardware, descriptors)
        arguments += devices(of: hardware, descriptors)
        arguments += disks(of: hardware, remedies, descriptors.images)
        arguments += networks(of: hardware, descriptors.networks, incoming: incoming)
        arguments += seed(of: hardware, descriptors.files)
        arguments += credentials(of: hardware, descriptors.credentials)
        arguments += boot(hardware, descriptors.files)
        if incoming { arguments += ["-incoming", "defer"] }
        arguments += hardware.single.extraArguments
        return arguments
    }

    /// Whether a VM process with these arguments is to reach the host's network itself, as it does for user networking.
    public static func needsNetwork(_ arguments: [String]) -> Bool {
        zip(arguments, arguments.dropFirst()).contains { option, value in
            ["-netdev", "-nic", "-net"].contains(option) && (value == "user" || value.hasPrefix("user,"))
        }
    }

    /// Every type that stands behind `-device`, whatever the version.
    public static let deviceTypes = [
        "virtio-blk-pci", "virtio-scsi-pci", "scsi-hd", "scsi-cd", "virtio-net-pci", "isa-serial", "VGA",
        "virtio-rng-pci",
        "virtio-balloon-pci", "i6300esb", "pvpanic", "virtio-serial-pci", "virtserialport", "pc-dimm", "tpm-tis",
    ]
    /// Every type that stands behind `-object`.
    public static let objectTypes = ["memory-backend-file", "monitor-qmp", "rng-builtin"]

    /// PCI slots for disks. From 0x1f on, q35 has devices of its own; the low slots are free for other kinds.
    static let diskSlots = 0x10...0x1e
    static let scsiSlot = 0xf
    /// All there are.
    public static let slots = 0...0x1f

    /// Whether QEMU takes it for the ID of an object: it stands on a command line, between commas.
    public static func isIdentifier(_ text: String) -> Bool {
        let letters = text.utf8
        return (1...64).contains(letters.count)
            && letters.first.map { $0 | 0x20 }.map { (0x61...0x7A).contains($0) } == true
            && letters.allSatisfy {
                (0x61...0x7A).contains($0 | 0x20) || (0x30...0x39).contains($0) || "-._".utf8.contains($0)
            }
    }

    /// QEMU refuses longer names of block nodes.
    static let longestNodeName = 31

    /// A QEMU with one CPU as the guest has them, and nothing else of the guest.
    ///
    /// - Parameter monitor: The number of one end of a socket pair.
    public static func probe(cpuOf hardware: GuestHardware, monitor: Int32, version: QEMUVersion) -> [String] {
        [
            "-accel", hardware.accelerator.rawValue, "-M", hardware.machine, "-cpu", cpu(of: hardware), "-m", "16M",
            "-nodefaults", "-no-user-config", "-display", "none", "-S",
        ] + self.monitor(monitor, version)
    }

    /// With 'host' there is nothing to enforce: it means whatever the accelerator can do.
    private static func cpu(of hardware: GuestHardware) -> String {
        let model = ([hardware.cpuModel] + (hardware.cpuFeatures ?? [])).joined(separator: ",")
        return hardware.cpuModel == "host" ? model : model + ",enforce"
    }

    private static func processor(of hardware: GuestHardware) -> [String] {
        var machine = hardware.machine
        if hardware.ram.count == 1 { machine += ",memory-backend=\(backend(hardware.ram[0]))" }
        machine += firmwareOptions(of: hardware)
        var size = "\(hardware.ram.reduce(0) { $0 + $1.size } >> 20)M"
        if let room = hardware.room { size += ",slots=\(room.slots),maxmem=\(room.maximumSize >> 20)M" }
        return [
            "-accel", hardware.accelerator.rawValue, "-machine", machine, "-cpu", cpu(of: hardware),
            "-smp", topology(of: hardware), "-m", size,
        ]
    }

    /// Guests expect the CPUs of one socket to be on one NUMA node, and Linux complains loudly otherwise.
    private static func topology(of hardware: GuestHardware) -> String {
        let (cpus, nodes) = (hardware.cpuCount, hardware.ram.count)
        if let given = hardware.topology {
            return "\(cpus),sockets=\(given.sockets),cores=\(given.cores),threads=\(given.threads)"
        }
        guard nodes > 1 else { return "\(cpus)" }
        let sockets = cpus.isMultiple(of: nodes) ? nodes : cpus
        return "\(cpus),sockets=\(sockets),cores=\(cpus / sockets),threads=1"
    }

    /// `memory-backend-file` even for memfds, because only with it does every version leave the RAM in place on a save.
    private static func memory(
        of hardware: GuestHardware,
        _ descriptors: [String: Int32],
        copyOnWrite: Bool
    ) -> [String] {
        // Next to nothing of a private view is written: no memory is set aside for all of it.
        let sharing = copyOnWrite ? "share=off,reserve=off" : "share=on"
        var arguments: [String] = []
        // In a private view it would be copied.
        if hardware.isLocked && !copyOnWrite { arguments += ["-overcommit", "mem-lock=on"] }
        for block in hardware.memoryBlocks {
            guard let descriptor = descriptors[block.id] else {
                preconditionFailure("no file descriptor was given for the RAM block '\(block.id)'")
            }
            arguments += [
                "-object",
                "memory-backend-file,id=\(backend(block)),size=\(block.size),"
                    + "mem-path=/proc/self/fd/\(descriptor),\(sharing)",
            ]
        }
        for dimm in hardware.dimms {
            let address = String(dimm.address, radix: 16)
            arguments += [
                "-device", "pc-dimm,id=dimm.\(dimm.id),memdev=ram.\(dimm.id),slot=\(dimm.slot),addr=0x\(address)",
            ]
        }
        guard hardware.ram.count > 1 else { return arguments }
        for (node, block) in hardware.ram.enumerated() {
            let cpus = cpus(of: node, nodes: hardware.ram.count, count: hardware.cpuCount)
            let range = cpus.count > 1 ? "cpus=\(cpus.lowerBound)-\(cpus.upperBound - 1)," : "cpus=\(cpus.lowerBound),"
            arguments += [
                "-numa", "node,nodeid=\(node),\(cpus.isEmpty ? "" : range)memdev=\(backend(block))",
            ]
        }
        return arguments
    }

    /// Neighbouring CPUs share a node; where the count does not divide, the first nodes get one more.
    private static func cpus(of node: Int, nodes: Int, count: Int) -> Range<Int> {
        let (share, rest) = count.quotientAndRemainder(dividingBy: nodes)
        let start = node * share + min(node, rest)
        return start..<(start + share + (node < rest ? 1 : 0))
    }

    private static func monitor(_ descriptor: Int32, _ version: QEMUVersion) -> [String] {
        let control =
            version >= QEMUVersion(major: 11, minor: 1)
            ? ["-object", "monitor-qmp,id=monitor,chardev=qmp"]
            : ["-mon", "chardev=qmp,mode=control"]
        return ["-chardev", "socket,id=qmp,fd=\(descriptor),server=off"] + control
    }

    /// No socket beside the log: whenever one is full QEMU tries again, and logs the same byte again each time.
    private static func console(_ descriptors: VMProcessDescriptors) -> [String] {
        var backend = "null,id=console"
        if let log = descriptors.consoleLog { backend += ",logfile=/proc/self/fd/\(log),logappend=on" }
        return ["-chardev", backend, "-device", "isa-serial,chardev=console,index=0"]
    }

    private static func backend(_ block: RAMBlock) -> String { block.backendName }

    static func json(_ node: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let bytes = try? encoder.encode(node) else { preconditionFailure("strings and booleans always encode") }
        return String(decoding: bytes, as: UTF8.self)
    }
}
