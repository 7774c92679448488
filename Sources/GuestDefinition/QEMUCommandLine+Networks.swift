extension QEMUCommandLine {
    /// PCI slots for networks.
    static let networkSlots = 0x8...0xd

    /// The name of a network's back end in QEMU.
    public static func backend(of network: Network) -> String { "net.\(network.id)" }

    /// - Parameter incoming: The VM process before has the host's ports until it ends: they are forwarded then.
    static func networks(
        of hardware: GuestHardware,
        _ descriptors: [String: NetworkDescriptors],
        incoming: Bool
    ) -> [String] {
        var arguments: [String] = []
        for (position, network) in hardware.networks.enumerated() {
            var backend = "\(network.type.rawValue),id=\(backend(of: network))"
            switch network.type {
            case .tap:
                guard let descriptors = descriptors[network.id] else {
                    preconditionFailure("no file descriptors were given for the network '\(network.id)'")
                }
                backend += "," + option("fd", descriptors.taps)
                if !descriptors.vhosts.isEmpty { backend += ",vhost=on," + option("vhostfd", descriptors.vhosts) }
            case .user:
                if !incoming { backend += network.forwards.map { ",hostfwd=\($0.rule)" }.joined() }
            }
            arguments += ["-netdev", backend, "-device", device(network, position)]
        }
        return arguments
    }

    private static func option(_ name: String, _ numbers: [Int32]) -> String {
        numbers.count == 1
            ? "\(name)=\(numbers[0])" : "\(name)s=\(numbers.map(String.init).joined(separator: ":"))"
    }

    /// Without an option ROM: its size is part of what is handed over, and the next QEMU's may have another.
    private static func device(_ network: Network, _ position: Int) -> String {
        var options = "id=nic.\(network.id),netdev=\(backend(of: network)),mac=\(network.mac)"
        options += ",addr=0x\(String(network.slot ?? networkSlots.lowerBound + position, radix: 16))"
        if network.optionROM != true { options += ",romfile=" }
        // A vector for each queue, one for the control queue, one for changes of the configuration.
        if network.queues > 1 { options += ",mq=on,vectors=\(2 * network.queues + 2)" }
        if let mtu = network.mtu { options += ",host_mtu=\(mtu)" }
        return "virtio-net-pci,\(options)"
    }
}
