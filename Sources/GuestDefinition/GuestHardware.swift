/// Everything a guest can see of its machine, and what must stay the same across a handover.
///
/// Kept in the ledger for as long as the guest runs, which can be years and many versions of this program: names of
/// coding keys never change, and a field added later is optional.
public struct GuestHardware: Sendable, Equatable, Codable {
    /// QEMU machine type: an alias (`q35`) as the definition has it, a versioned name (`pc-q35-7.2`) once pinned.
    public var machine: String
    public var accelerator: Accelerator
    /// 1 to 255.
    public var cpuCount: Int
    /// QEMU CPU model, followed by `,feature=off`… where pinning found features to switch off.
    public var cpuModel: String
    /// In lower case.
    public var uuid: String?
    /// At least one; the order is that of the NUMA nodes.
    public var ram: [RAMBlock]
    /// Nil for a guest that boots from its disks, in their order.
    public var kernel: DirectKernel?
    /// Nil for the BIOS that comes with QEMU.
    public var firmware: Firmware?
    /// The order is that of the PCI slots.
    public var disks: [Disk]
    /// Nil where there are none; see `networks`.
    var nics: [Network]?
    /// Nil for a guest without a seed for cloud-init.
    public var cloudInit: CloudInit?
    /// In the order of the SMBIOS strings; nil for none.
    public var credentials: [Credential]?
    /// Whether there is a 16550 serial port, ttyS0.
    public var console: Bool
    /// Nil where there are none; see `single`.
    var devices: GuestDevices?
    /// Nil where it follows from the number of CPUs and NUMA nodes.
    public var topology: CPUTopology?
    /// `NAME=on` or `NAME=off`, on top of the model; nil where there are none.
    public var cpuFeatures: [String]?
    /// Nil where the guest can't get more memory while it runs.
    public var room: MemoryRoom?
    /// See `dimms`.
    var addedDIMMs: [DIMM]?
    /// See `isLocked`.
    var locked: Bool?

    public init(
        machine: String,
        accelerator: Accelerator,
        cpuCount: Int,
        cpuModel: String,
        uuid: String? = nil,
        ram: [RAMBlock],
        kernel: DirectKernel?,
        firmware: Firmware? = nil,
        disks: [Disk] = [],
        networks: [Network] = [],
        cloudInit: CloudInit? = nil,
        credentials: [Credential]? = nil,
        console: Bool = true,
        devices: GuestDevices = GuestDevices()
    ) {
        self.machine = machine
        self.accelerator = accelerator
        self.cpuCount = cpuCount
        self.cpuModel = cpuModel
        self.uuid = uuid
        self.ram = ram
        self.kernel = kernel
        self.firmware = firmware
        self.disks = disks
        nics = networks.isEmpty ? nil : networks
        self.cloudInit = cloudInit
        self.credentials = credentials
        self.console = console
        single = devices
    }
}

extension GuestHardware {
    /// Whether this is within what any definition can ask for.
    public var isPlausible: Bool {
        var total: UInt64 = 0
        for block in memoryBlocks {
            let (sum, overflow) = total.addingReportingOverflow(block.size)
            if overflow { return false }
            total = sum
        }
        return GuestHardware.cpuCounts.contains(cpuCount) && GuestHardware.ramBlockCounts.contains(ram.count)
            && total <= GuestHardware.largestRAM && dimms.count <= MemoryRoom.slotCounts.upperBound
            && disks.count <= QEMUCommandLine.diskSlots.count
            && networks.count <= QEMUCommandLine.networkSlots.count && networks.allSatisfy(\.isPlausible)
            && networks.reduce(0) { $0 + $1.queues } <= Network.mostQueues
            && credentials?.count ?? 0 <= GuestHardware.mostCredentials
            && (disks.map(\.slot) + networks.map(\.slot)).allSatisfy { $0.map(QEMUCommandLine.slots.contains) ?? true }
            && ram.allSatisfy { $0.backend.map(QEMUCommandLine.isIdentifier) ?? true }
    }

    /// Each is a descriptor in the store.
    static let mostCredentials = 8
    static let cpuCounts = 1...255
    /// QEMU takes at most 128 NUMA nodes.
    static let ramBlockCounts = 1...128
    /// Bytes, of all blocks together.
    static let largestRAM: UInt64 = 64 << 40
}

public enum Accelerator: String, Sendable, Codable, CaseIterable {
    case tcg
    case kvm
}

/// A named piece of guest RAM, backed by the memfd `ram.ID`.
public struct RAMBlock: Sendable, Equatable, Codable {
    public var id: String
    /// In bytes; a multiple of 2 MiB, at least 32 MiB.
    public var size: UInt64
    /// Nil where the block is of ordinary pages.
    public var hugePages: HugePageSize?
    /// See `backendName`.
    public var backend: String?
    /// Path of the file that others have made for it, which can't be sealed; nil where it is a memory file.
    public var file: String?

    public init(id: String, size: UInt64, hugePages: HugePageSize? = nil, backend: String? = nil) {
        self.id = id
        self.size = size
        self.hugePages = hugePages
        self.backend = backend
    }

    /// What QEMU calls it: part of the state that is handed over. A guest that others have started keeps their name.
    public var backendName: String { backend ?? "ram.\(id)" }
}

/// A Linux kernel that QEMU loads without firmware menus or a boot loader.
public struct DirectKernel: Sendable, Equatable, Codable {
    /// Absolute path.
    public var image: String
    /// Absolute path.
    public var initrd: String?
    public var commandLine: String

    public init(image: String, initrd: String? = nil, commandLine: String = "") {
        self.image = image
        self.initrd = initrd
        self.commandLine = commandLine
    }
}
