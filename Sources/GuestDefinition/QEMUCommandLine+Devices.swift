extension QEMUCommandLine {
    /// No disk has IDs like these: they have no dots.
    private enum ID {
        static let rng = "dev.rng"
        static let balloon = "dev.balloon"
        static let watchdog = "dev.watchdog"
        static let pvpanic = "dev.pvpanic"
        static let serial = "dev.serial"
        static let agent = "dev.agent"
        static let tpm = "dev.tpm"
        static let display = "dev.display"
    }

    /// The name by which a guest's agent finds its channel.
    private static let agentPort = "org.qemu.guest_agent.0"

    static func devices(of hardware: GuestHardware, _ descriptors: VMProcessDescriptors) -> [String] {
        let devices = hardware.single
        var arguments: [String] = []
        if devices.display {
            // Clients come by descriptors that the monitor is given: a listener would collide with the next QEMU's.
            let rom = path(.videoBIOS, nil, descriptors.files).map { ",romfile=\($0)" } ?? ""
            arguments += ["-vnc", "none", "-device", "VGA,id=\(ID.display),addr=0x1\(rom)"]
        }
        if devices.rng {
            arguments += ["-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,id=\(ID.rng),rng=rng,addr=0x2"]
        }
        if let balloon = devices.balloon {
            arguments += [
                "-device",
                "virtio-balloon-pci,id=\(ID.balloon),addr=0x3,deflate-on-oom=\(word(balloon.deflateOnOOM)),"
                    + "free-page-reporting=\(word(balloon.freePageReporting))",
            ]
        }
        if devices.watchdog != nil { arguments += ["-device", "i6300esb,id=\(ID.watchdog),addr=0x5"] }
        if devices.pvpanic { arguments += ["-device", "pvpanic,id=\(ID.pvpanic)"] }
        if devices.agent {
            guard let descriptor = descriptors.agent else {
                preconditionFailure("no file descriptor was given for the guest agent's channel")
            }
            arguments += [
                "-chardev", "socket,id=agent,fd=\(descriptor),server=off",
                // Port 0 is for consoles only.
                "-device", "virtio-serial-pci,id=\(ID.serial),addr=0x6,max_ports=2",
                "-device", "virtserialport,id=\(ID.agent),bus=\(ID.serial).0,nr=1,chardev=agent,name=\(agentPort)",
            ]
        }
        if let model = devices.tpm {
            guard let descriptor = descriptors.tpm else {
                preconditionFailure("no file descriptor was given for the TPM's control channel")
            }
            arguments += [
                "-chardev", "socket,id=tpm,fd=\(descriptor),server=off", "-tpmdev", "emulator,id=tpm,chardev=tpm",
                "-device", "tpm-\(model.rawValue),id=\(ID.tpm),tpmdev=tpm",
            ]
        }
        return arguments
    }

    /// What QEMU does by itself where something happens to the guest.
    static func actions(of hardware: GuestHardware) -> [String] {
        // A guest that has powered itself off leaves its VM process behind to say so, whoever comes to ask.
        var actions = "shutdown=pause"
        if let watchdog = hardware.single.watchdog { actions += ",watchdog=\(watchdog.rawValue)" }
        // What follows is up to the guest's kernel. QEMU would pause a guest that may be about to reboot.
        if hardware.single.pvpanic { actions += ",panic=none" }
        return ["-action", actions]
    }

    private static func word(_ value: Bool) -> String { value ? "on" : "off" }
}
