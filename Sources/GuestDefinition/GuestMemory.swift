/// Pages that are larger than the processor's smallest ones, and set aside on the host for those who ask for them.
public enum HugePageSize: String, Sendable, Codable, CaseIterable {
    case twoMiB = "2M"
    case oneGiB = "1G"

    public var bytes: UInt64 {
        switch self {
        case .twoMiB: 2 << 20
        case .oneGiB: 1 << 30
        }
    }
}

/// Room for memory that a guest may get while it runs.
public struct MemoryRoom: Sendable, Equatable, Codable {
    /// How much the guest may have in all, in bytes.
    public var maximumSize: UInt64
    /// How many DIMMs there may be: 1 to 255.
    public var slots: Int

    public init(maximumSize: UInt64, slots: Int) {
        self.maximumSize = maximumSize
        self.slots = slots
    }

    static let slotCounts = 1...255
    static let defaultSlots = 16
}

/// Memory that a guest has got while it runs, backed by the memfd `ram.ID`. It goes with the guest's power.
public struct DIMM: Sendable, Equatable, Codable {
    public var id: String
    /// In bytes.
    public var size: UInt64
    public var slot: Int
    /// Guest-physical.
    public var address: UInt64

    public init(id: String, size: UInt64, slot: Int, address: UInt64) {
        self.id = id
        self.size = size
        self.slot = slot
        self.address = address
    }

    /// Linux takes memory in pieces of this size, in bytes.
    public static let unit: UInt64 = 128 << 20

    /// Why there can be none with such an ID; nil where there can.
    public static func problem(withID id: String) -> String? { SectionKind.ram.problem(withID: id) }
}

/// Sockets, cores and threads of a guest's CPUs, as it sees them.
public struct CPUTopology: Sendable, Equatable, Codable {
    public var sockets: Int
    public var cores: Int
    public var threads: Int

    public init(sockets: Int, cores: Int, threads: Int) {
        self.sockets = sockets
        self.cores = cores
        self.threads = threads
    }

    public var count: Int { sockets * cores * threads }
}

extension GuestHardware {
    /// What the guest has got while it runs, in the order of its slots.
    public var dimms: [DIMM] {
        get { addedDIMMs ?? [] }
        set { addedDIMMs = newValue.isEmpty ? nil : newValue.sorted { $0.slot < $1.slot } }
    }

    /// Whether the host keeps all of the guest's memory, and QEMU's own, from being swapped.
    public var isLocked: Bool {
        get { locked ?? false }
        set { locked = newValue ? true : nil }
    }

    /// All that is kept in memory files: what the guest was started with, and then what it has got.
    public var memoryBlocks: [RAMBlock] { ram + dimms.map { RAMBlock(id: $0.id, size: $0.size) } }
}
