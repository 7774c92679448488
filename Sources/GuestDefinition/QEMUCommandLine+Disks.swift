extension QEMUCommandLine {
    /// No disk has this ID: they have no dots.
    static let scsiController = "bus.scsi"
    /// Behind those of all disks, and within what UEFI looks at.
    static let seedID = 31

    static func disks(
        of hardware: GuestHardware,
        _ remedies: [KnownIncompatibility.Remedy],
        _ images: [String: DescriptorSet]
    ) -> [String] {
        var arguments: [String] = []
        if hardware.cloudInit != nil || hardware.disks.contains(where: { $0.bus == .virtioSCSI }) {
            let remedied = remedies.map { remedy in
                switch remedy {
                case .diskQueueSize(let entries): ",virtqueue_size=\(entries)"
                }
            }.joined()
            arguments += ["-device", "virtio-scsi-pci,id=\(scsiController),addr=0x\(hexadecimal(scsiSlot))\(remedied)"]
        }
        for (position, disk) in hardware.disks.enumerated() {
            arguments += blockNodes(of: disk, images)
            // With a kernel of its own the firmware looks at no disk.
            let bootIndex = hardware.kernel == nil ? position : nil
            arguments += ["-device", device(disk, bootIndex: bootIndex, position, remedies)]
        }
        return arguments
    }

    static func blockNodes(of disk: Disk, _ images: [String: DescriptorSet]) -> [String] {
        let image = images[disk.id]
        return (image?.arguments ?? [])
            + ["-blockdev", json(FileNode(disk, image)), "-blockdev", json(FormatNode(disk))]
    }

    static func formatNode(_ id: String) -> String { "disk.\(id)" }

    private static func device(
        _ disk: Disk,
        bootIndex: Int?,
        _ position: Int,
        _ remedies: [KnownIncompatibility.Remedy]
    ) -> String {
        var options = "id=\(disk.id),drive=\(formatNode(disk.id))"
        if let bootIndex { options += ",bootindex=\(bootIndex)" }
        if let serial = disk.serial { options += ",serial=\(serial)" }
        if !disk.cache.hasWriteCache { options += ",write-cache=off" }
        switch disk.bus {
        case .virtioBlk:
            options += ",addr=0x\(hexadecimal(disk.slot ?? diskSlots.lowerBound + position))"
            for case .diskQueueSize(let entries) in remedies { options += ",queue-size=\(entries)" }
            return "virtio-blk-pci,\(options)"
        case .virtioSCSI:
            let type = disk.device == .cdrom ? "scsi-cd" : "scsi-hd"
            return "\(type),\(options),bus=\(scsiController).0,scsi-id=\(position),lun=0"
        }
    }

    private static func hexadecimal(_ slot: Int) -> String { String(slot, radix: 16) }
}

private struct CacheOptions: Encodable {
    let direct: Bool
    let noFlush: Bool

    /// Nil where QEMU's defaults do.
    init?(_ cache: DiskCache) {
        guard cache.isDirect || cache == .unsafe else { return nil }
        direct = cache.isDirect
        noFlush = cache == .unsafe
    }

    enum CodingKeys: String, CodingKey {
        case direct
        case noFlush = "no-flush"
    }
}

/// `-blockdev` takes JSON, in which a path needs no quoting of QEMU's own.
private struct FileNode: Encodable {
    let driver: String
    let nodeName: String
    let filename: String
    let aio: String?
    let cache: CacheOptions?
    let discard: String
    let readOnly: Bool
    /// Otherwise QEMU evicts the whole image from the host's page cache at each handover.
    let dropCache = false

    init(_ disk: Disk, _ image: DescriptorSet?) {
        driver = disk.isBlockDevice ? "host_device" : "file"
        nodeName = "file.\(disk.id)"
        filename = image?.path ?? disk.image
        aio = disk.aio == .threads ? nil : disk.aio.rawValue
        cache = CacheOptions(disk.cache)
        discard = disk.discard ? "unmap" : "ignore"
        readOnly = disk.readOnly
    }

    enum CodingKeys: String, CodingKey {
        case driver, filename, aio, cache, discard
        case nodeName = "node-name"
        case readOnly = "read-only"
        case dropCache = "drop-cache"
    }
}

private struct FormatNode: Encodable {
    let driver: DiskFormat
    let nodeName: String
    let file: String
    let cache: CacheOptions?
    let discard: String
    let readOnly: Bool

    init(_ disk: Disk) {
        driver = disk.format
        nodeName = QEMUCommandLine.formatNode(disk.id)
        file = "file.\(disk.id)"
        cache = CacheOptions(disk.cache)
        discard = disk.discard ? "unmap" : "ignore"
        readOnly = disk.readOnly
    }

    enum CodingKeys: String, CodingKey {
        case driver, file, cache, discard
        case nodeName = "node-name"
        case readOnly = "read-only"
    }
}
