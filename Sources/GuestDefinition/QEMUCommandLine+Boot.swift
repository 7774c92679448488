/// What the guest starts with. Pinned files go before those that the hardware names.
extension QEMUCommandLine {
    /// No disk has these IDs: they have no dots.
    private static let (code, variables) = ("firmware.code", "firmware.vars")

    static func firmware(of hardware: GuestHardware, _ files: [PinnedFile: Int32]) -> [String] {
        guard let firmware = hardware.firmware, let store = firmware.variables else {
            return path(.firmware, hardware.firmware?.image, files).map { ["-bios", $0] } ?? []
        }
        let image = path(.firmware, firmware.image, files) ?? ""
        var arguments = blockNodes(of: Disk(id: code, image: image, format: .raw, readOnly: true, discard: false))
        arguments += blockNodes(of: Disk(id: variables, image: store.path, format: .raw, discard: false))
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

    private static func path(_ file: PinnedFile, _ named: String?, _ files: [PinnedFile: Int32]) -> String? {
        files[file].map { "/proc/self/fd/\($0)" } ?? named
    }
}
