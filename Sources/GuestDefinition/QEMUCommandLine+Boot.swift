/// What the guest starts with. Pinned files go before those that the hardware names.
extension QEMUCommandLine {
    /// No disk has these IDs: they have no dots.
    private static let (code, variables) = ("firmware.code", "firmware.vars")

    static func firmware(of hardware: GuestHardware, _ descriptors: VMProcessDescriptors) -> [String] {
        let files = descriptors.files
        guard let firmware = hardware.firmware, let store = firmware.variables else {
            return path(.firmware, hardware.firmware?.image, files).map { ["-bios", $0] } ?? []
        }
        let image = path(.firmware, firmware.image, files) ?? ""
        var arguments = blockNodes(of: Disk(id: code, image: image, format: .raw, readOnly: true, discard: false), [:])
        arguments += blockNodes(of: disk(of: store), descriptors.images)
        if firmware.secureBoot {
            arguments += [
                // Only the firmware's own code, in system management mode, writes to the variables.
                "-global", "driver=cfi.pflash01,property=secure,value=on",
                // OVMF has no way to keep that mode closed through a suspend to RAM.
                "-global", "ICH9-LPC.disable_s3=1",
            ]
        }
        return arguments
    }

    /// What the variables would be as a disk.
    static func disk(of store: VariableStore) -> Disk {
        Disk(id: variables, image: store.path, format: .raw, discard: false)
    }

    static func firmwareOptions(of hardware: GuestHardware) -> String {
        guard let firmware = hardware.firmware, firmware.variables != nil else { return "" }
        let flash = ",pflash0=\(formatNode(code)),pflash1=\(formatNode(variables))"
        return firmware.secureBoot ? "\(flash),smm=on" : flash
    }

    static func boot(_ hardware: GuestHardware, _ files: [PinnedFile: Int32]) -> [String] {
        guard let kernel = hardware.kernel else { return [] }
        var arguments = ["-kernel", path(.kernel, kernel.image, files) ?? kernel.image]
        if let initrd = path(.initrd, kernel.initrd, files) { arguments += ["-initrd", initrd] }
        if !kernel.commandLine.isEmpty { arguments += ["-append", kernel.commandLine] }
        return arguments
    }

    /// The guest needs it when it boots for the first time; it stays, as a machine's parts do.
    static func seed(of hardware: GuestHardware, _ files: [PinnedFile: Int32]) -> [String] {
        guard hardware.cloudInit != nil else { return [] }
        let id = "cloud.seed"
        let disk = Disk(
            id: id,
            image: path(.seed, nil, files) ?? "",
            format: .raw,
            bus: .virtioSCSI,
            device: .cdrom,
            readOnly: true,
            discard: false
        )
        let place = "bus=\(scsiController).0,scsi-id=\(seedID),lun=0"
        return blockNodes(of: disk, [:]) + ["-device", "scsi-cd,id=\(id),drive=\(formatNode(id)),\(place)"]
    }

    /// By descriptors: a command line is for everyone to read.
    static func credentials(of hardware: GuestHardware, _ descriptors: [String: Int32]) -> [String] {
        (hardware.credentials ?? []).flatMap { credential in
            descriptors[credential.id].map { ["-smbios", "type=11,path=/proc/self/fd/\($0)"] } ?? []
        }
    }

    static func path(_ file: PinnedFile, _ named: String?, _ files: [PinnedFile: Int32]) -> String? {
        files[file].map { "/proc/self/fd/\($0)" } ?? named
    }
}

extension GuestHardware {
    /// Each image that a VM process has open, and the number of its descriptor set. Lower numbers are for what the
    /// monitor passes.
    public var images: [(set: Int, disk: Disk)] {
        let variables = firmware?.variables.map { (set: 16, disk: QEMUCommandLine.disk(of: $0)) }
        return [variables].compactMap { $0 } + disks.enumerated().map { (set: 17 + $0.offset, disk: $0.element) }
    }
}
