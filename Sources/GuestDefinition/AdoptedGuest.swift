/// The definition of a guest that others have started.
public struct AdoptedGuest: Sendable {
    public var hardware: GuestHardware
    /// Absolute path; nil for the usual one.
    public var qemu: String?

    public init(hardware: GuestHardware, qemu: String? = nil) {
        self.hardware = hardware
        self.qemu = qemu
    }

    /// What goes into `NAME.guest`. Whether a definition can hold it all, loading it shows.
    public var text: String {
        var guest = ["[Guest]", "Machine=\(hardware.machine)", "Accelerator=\(hardware.accelerator.rawValue)"]
        if let qemu { guest.append("QEMU=\(qemu)") }
        if let uuid = hardware.uuid { guest.append("UUID=\(uuid)") }
        var cpu = ["[CPU]", "Count=\(hardware.cpuCount)", "Model=\(hardware.cpuModel)"]
        if let topology = hardware.topology {
            cpu += ["Sockets=\(topology.sockets)", "Cores=\(topology.cores)", "Threads=\(topology.threads)"]
        }
        if let features = hardware.cpuFeatures {
            let words = features.map { feature in
                let name = feature.prefix { $0 != "=" }
                return feature.hasSuffix("=off") ? "-\(name)" : "+\(name)"
            }
            cpu.append("Features=\(words.joined(separator: " "))")
        }
        var sections = [guest, cpu] + hardware.ram.map(lines)
        if let kernel = hardware.kernel {
            sections.append(
                ["[Kernel]", "Image=\(kernel.image)"] + (kernel.initrd.map { ["Initrd=\($0)"] } ?? [])
                    + (kernel.commandLine.isEmpty ? [] : ["CommandLine=\(kernel.commandLine)"])
            )
        }
        sections += hardware.disks.map(lines) + hardware.networks.map(lines)
        if !hardware.console { sections.append(["[Console]", "Enable=no"]) }
        return sections.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    private func lines(_ block: RAMBlock) -> [String] {
        ["[RAM \(block.id)]", "Size=\(block.size >> 20)M"]
            + (block.hugePages.map { ["HugePages=\($0.rawValue)"] } ?? [])
    }

    private func lines(_ disk: Disk) -> [String] {
        var lines = ["[Disk \(disk.id)]", "Image=\(disk.image)", "Format=\(disk.format.rawValue)"]
        if disk.readOnly { lines.append("ReadOnly=yes") }
        if disk.cache != .writeback { lines.append("Cache=\(disk.cache.rawValue)") }
        if let serial = disk.serial { lines.append("Serial=\(serial)") }
        return lines
    }

    private func lines(_ network: Network) -> [String] {
        var lines = ["[Network \(network.id)]", "Type=\(network.type.rawValue)", "MACAddress=\(network.mac)"]
        if let mtu = network.mtu { lines.append("MTU=\(mtu)") }
        if !network.forwards.isEmpty {
            lines.append("Forward=\(network.forwards.map(\.description).joined(separator: " "))")
        }
        return lines
    }
}

extension GuestHardware {
    /// The same without what no definition says: it stays until the guest is stopped.
    public var asDefined: GuestHardware {
        var result = self
        for index in result.ram.indices { (result.ram[index].backend, result.ram[index].file) = (nil, nil) }
        for index in result.disks.indices { result.disks[index].slot = nil }
        for index in result.networks.indices {
            (result.networks[index].slot, result.networks[index].optionROM) = (nil, nil)
        }
        return result
    }

    /// Whether a disk or a network can have such an ID.
    public static func isSectionID(_ id: String) -> Bool {
        !id.isEmpty && SectionKind.disk.problem(withID: id) == nil && SectionKind.network.problem(withID: id) == nil
    }
}
