import Linux

extension GuestHardware {
    /// What the guest's machine is made up of, for people: a title for each line, and what there is. The order is that
    /// of the sections in the definition's description.
    public var summary: [(title: String, text: String)] {
        processorSummary + bootSummary
            + disks.map { ("Disk", "\($0.id): \($0.summary)") }
            + networks.map { ("Network", "\($0.id): \($0.summary)") }
            + deviceSummary
    }

    private var processorSummary: [(title: String, text: String)] {
        let features = cpuFeatures.map { ", \($0.joined(separator: ", "))" } ?? ""
        let places =
            topology.map { " in \($0.sockets) sockets, \($0.cores) cores and \($0.threads) threads each" } ?? ""
        var lines = [
            ("Machine", "\(machine), \(accelerator.rawValue)"),
            ("CPUs", "\(cpuCount) × \(cpuModel)\(features)\(places)"),
        ]
        if let uuid { lines.append(("UUID", uuid)) }
        let blocks = ram.map { block in
            let pages = block.hugePages.map { " in huge pages of \($0.rawValue)" } ?? ""
            return "\(block.id) \(block.size >> 20) MiB\(pages)\(block.file.map { " in the file '\($0)'" } ?? "")"
        }
        lines.append(("RAM", blocks.joined(separator: ", ") + (isLocked ? "; locked" : "")))
        if let room {
            lines.append(("Memory", "up to \(room.maximumSize >> 20) MiB in all, with at most \(room.slots) DIMMs"))
        }
        return lines
    }

    private var bootSummary: [(title: String, text: String)] {
        var lines: [(title: String, text: String)] = []
        let kind = (firmware?.kind ?? .bios).rawValue + (firmware?.secureBoot == true ? " with secure boot" : "")
        let store = firmware?.variables.map { ", variables in '\($0.path)'" } ?? ""
        lines.append(("Firmware", "\(kind)\(firmware?.image.map { " '\($0)'" } ?? "")\(store)"))
        if let kernel {
            let initrd = kernel.initrd.map { " with '\($0)'" } ?? ""
            lines.append(
                ("Kernel", "'\(kernel.image)'\(initrd)\(kernel.commandLine.isEmpty ? "" : ": ")\(kernel.commandLine)")
            )
        } else if !disks.isEmpty {
            lines.append(("Boot order", disks.map(\.id).joined(separator: ", ")))
        }
        return lines
    }

    private var deviceSummary: [(title: String, text: String)] {
        var lines: [(title: String, text: String)] = []
        if single.rng { lines.append(("RNG", "random numbers from the host")) }
        if let balloon = single.balloon {
            let deflates =
                balloon.deflateOnOOM ? "the guest may take memory back" : "the guest may not take memory back"
            let reports = balloon.freePageReporting ? ", its free memory is given back all the time" : ""
            lines.append(("Balloon", deflates + reports))
        }
        if let action = single.watchdog { lines.append(("Watchdog", "i6300esb, then '\(action.rawValue)'")) }
        if single.pvpanic { lines.append(("PVPanic", "panics of the guest's kernel are reported")) }
        if single.agent { lines.append(("Agent", "the channel of the QEMU guest agent")) }
        if let model = single.tpm { lines.append(("TPM", "TPM 2.0, \(model.rawValue)")) }
        if single.display { lines.append(("Display", "VGA, by VNC")) }
        if let seed = cloudInit {
            let files = [("SSH keys", seed.sshKeys), ("user data", seed.userData), ("network", seed.networkConfig)]
            let named = files.compactMap { title, path in path.map { ", \(title) from '\($0)'" } }.joined()
            lines.append(("Cloud-init", "instance '\(seed.instanceID)', host name '\(seed.hostname)'\(named)"))
        }
        for credential in credentials ?? [] {
            lines.append(("Credential", "\(credential.id): '\(credential.name)' from '\(credential.file)'"))
        }
        if console { lines.append(("Console", "ttyS0")) }
        if !single.extraArguments.isEmpty {
            lines.append(("Extra", single.extraArguments.joined(separator: " ")))
        }
        return lines
    }
}

extension Disk {
    fileprivate var summary: String {
        var words = [bus.rawValue]
        if device == .cdrom { words.append("CD-ROM") }
        words.append(format.rawValue)
        if readOnly { words.append("read-only") }
        if cache != .writeback { words.append("cache \(cache.rawValue)") }
        if aio != .threads { words.append("aio \(aio.rawValue)") }
        if !discard { words.append("no discard") }
        if let serial { words.append("serial '\(serial)'") }
        return "'\(image)' (\(words.joined(separator: ", ")))"
    }
}

extension Network {
    fileprivate var summary: String {
        switch type {
        case .user: "user, \(mac)\(forwards.map { ", \($0.description)" }.joined())"
        case .tap:
            "\(kind.rawValue) '\(interface)'\(bridge.map { " on bridge '\($0)'" } ?? "")"
                + (uplink.map { " on '\($0.parent)', mode \($0.mode.rawValue)" } ?? "") + ", \(mac)"
                + (queues > 1 ? ", \(queues) queues" : "") + (mtu.map { ", MTU \($0)" } ?? "")
                + (vhost == .auto ? "" : ", vhost \(vhost.rawValue)")
        }
    }
}
