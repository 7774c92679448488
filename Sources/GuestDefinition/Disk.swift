public enum DiskFormat: String, Sendable, Codable, CaseIterable {
    case raw
    case qcow2
}

/// What a disk is attached to.
public enum DiskBus: String, Sendable, Codable, CaseIterable {
    /// A PCI device of its own.
    case virtioBlk = "virtio-blk"
    /// One controller for all.
    case virtioSCSI = "virtio-scsi"
}

public enum DiskDevice: String, Sendable, Codable, CaseIterable {
    case disk
    case cdrom
}

/// What may hold back what the guest has written, by QEMU's names.
public enum DiskCache: String, Sendable, Codable, CaseIterable {
    /// The host's page cache, until the guest flushes.
    case writeback
    /// As `writeback`, but each write is flushed.
    case writethrough
    /// Past the page cache; what the disk itself holds back is flushed when the guest says so.
    case none
    /// As `none`, but each write is flushed.
    case directsync
    /// The guest's flushes are not carried out.
    case unsafe

    /// Whether the image is opened with O_DIRECT.
    public var isDirect: Bool { self == .none || self == .directsync }
    /// What the guest sees: whether it has to flush.
    var hasWriteCache: Bool { self != .writethrough && self != .directsync }

    /// Nil where QEMU has no name for it.
    public init?(writeback: Bool, direct: Bool, noFlush: Bool) {
        let found = DiskCache.allCases.first { mode in
            guard mode.isDirect == direct, mode.hasWriteCache == writeback else { return false }
            return (mode == .unsafe) == noFlush
        }
        guard let found else { return nil }
        self = found
    }
}

/// How QEMU reads and writes the image.
public enum DiskAIO: String, Sendable, Codable, CaseIterable {
    case threads
    /// Linux' own asynchronous calls, which need O_DIRECT.
    case native
    case ioUring = "io_uring"
}

public struct Disk: Sendable, Equatable, Codable {
    public var id: String
    /// Absolute path of an image file or block device.
    public var image: String
    public var isBlockDevice: Bool
    public var format: DiskFormat
    public var bus: DiskBus
    public var device: DiskDevice
    public var readOnly: Bool
    /// Whether blocks that the guest discards are given back to the host.
    public var discard: Bool
    public var cache: DiskCache
    public var aio: DiskAIO
    /// At most 20 characters, which is what virtio-blk carries.
    public var serial: String?
    /// On the PCI bus, of a guest that others have started; nil where it follows from the order of the disks.
    public var slot: Int?

    public init(
        id: String,
        image: String,
        isBlockDevice: Bool = false,
        format: DiskFormat,
        bus: DiskBus = .virtioBlk,
        device: DiskDevice = .disk,
        readOnly: Bool = false,
        discard: Bool = true,
        cache: DiskCache = .writeback,
        aio: DiskAIO = .threads,
        serial: String? = nil
    ) {
        self.id = id
        self.image = image
        self.isBlockDevice = isBlockDevice
        self.format = format
        self.bus = bus
        self.device = device
        self.readOnly = readOnly
        self.discard = discard
        self.cache = cache
        self.aio = aio
        self.serial = serial
    }

    /// Ledgers of older versions know less of a disk.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            id: try values.decode(String.self, forKey: .id),
            image: try values.decode(String.self, forKey: .image),
            isBlockDevice: try values.decodeIfPresent(Bool.self, forKey: .isBlockDevice) ?? false,
            format: try values.decode(DiskFormat.self, forKey: .format),
            bus: try values.decodeIfPresent(DiskBus.self, forKey: .bus) ?? .virtioBlk,
            device: try values.decodeIfPresent(DiskDevice.self, forKey: .device) ?? .disk,
            readOnly: try values.decode(Bool.self, forKey: .readOnly),
            discard: try values.decode(Bool.self, forKey: .discard),
            cache: try values.decodeIfPresent(DiskCache.self, forKey: .cache) ?? .writeback,
            aio: try values.decodeIfPresent(DiskAIO.self, forKey: .aio) ?? .threads,
            serial: try values.decodeIfPresent(String.self, forKey: .serial)
        )
        slot = try values.decodeIfPresent(Int.self, forKey: .slot)
    }
}
