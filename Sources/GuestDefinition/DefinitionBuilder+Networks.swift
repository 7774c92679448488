extension DefinitionBuilder {
    mutating func networks() -> [Network] {
        let found = sections.filter { $0.name.kind == .network }
        if found.isEmpty { return [] }
        let limit = QEMUCommandLine.networkSlots.count
        if found.count > limit {
            problems.add("this is network \(limit + 1), but a guest can have at most \(limit)", at: found[limit].place)
        }
        // A machine without one has no other identity either.
        let machine = (try? files.read("/etc/machine-id", limit: 64)) ?? []
        let machineID = String(decoding: machine.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        var owners = Owners()
        var queues = 0
        return found.map { section in
            let network = network(section, machineID)
            checkUnique(network, section, &owners)
            queues += network.queues
            if queues > Network.mostQueues, queues - network.queues <= Network.mostQueues {
                problems.add(
                    "with this, all networks together have more than \(Network.mostQueues) queues, which is what "
                        + "systemd can keep descriptors of",
                    at: section.assignments["Queues"]?.place ?? section.place
                )
            }
            return network
        }
    }

    private mutating func network(_ section: Section, _ machineID: String) -> Network {
        let id = section.name.id
        let type = value("Type", section, Values.networkType) ?? .tap
        let interface = value("Interface", section, Values.interface)
        let bridge = value("Bridge", section, Values.interface)
        let queues = value("Queues", section) { text throws(ValueProblem) in
            try Values.integer(text, in: Network.queueCounts)
        }
        let vhost = value("VHost", section) { text throws(ValueProblem) in try Values.word(text, as: VHost.self) }
        let mtu = value("MTU", section) { text throws(ValueProblem) in try Values.integer(text, in: 576...65_521) }
        let forwards = value("Forward", section, Values.forwards) ?? []
        let mac =
            value("MACAddress", section, Values.macAddress)
            ?? NetworkDefaults.mac(guest: name, id: id, machine: machineID)
        switch type {
        case .tap:
            warnOfNoEffect(["Forward"], section, unless: "Type=user")
            return Network(
                id: id,
                mac: mac,
                interface: interface ?? NetworkDefaults.interface(guest: name, id: id),
                bridge: bridge,
                queues: queues ?? 1,
                mtu: mtu,
                vhost: vhost ?? .auto
            )
        case .user:
            warnOfNoEffect(["Interface", "Bridge", "Queues", "VHost", "MTU"], section, unless: "Type=tap")
            return Network(id: id, type: .user, mac: mac, vhost: .no, forwards: forwards)
        }
    }

    /// What can be used only once, with the title of the section that does.
    private struct Owners {
        var macs: [String: String] = [:]
        var interfaces: [String: String] = [:]
        var ports: [String: String] = [:]
    }

    private mutating func checkUnique(_ network: Network, _ section: Section, _ owners: inout Owners) {
        let title = section.name.title
        if let other = owners.macs.updateValue(title, forKey: network.mac) {
            problems.add(
                "'\(network.mac)' is also the address of \(other); give each network its own, or remove MACAddress=",
                at: section.assignments["MACAddress"]?.place ?? section.place
            )
        }
        if network.type == .tap, let other = owners.interfaces.updateValue(title, forKey: network.interface) {
            problems.add(
                "\(quoted(network.interface)) is also the interface of \(other); give each network its own, or remove "
                    + "Interface=",
                at: section.assignments["Interface"]?.place ?? section.place
            )
        }
        if network.type == .tap, network.bridge == network.interface {
            problems.add(
                "\(quoted(network.interface)) can't be the interface and its bridge",
                at: section.assignments["Interface"]?.place ?? section.place
            )
        }
        for forward in network.forwards {
            let port = "\(forward.transport.rawValue) \(forward.address):\(forward.port)"
            if let other = owners.ports.updateValue(title, forKey: port) {
                problems.add(
                    "the port \(port) is forwarded twice\(other == title ? "" : ", also by \(other)")",
                    at: section.assignments["Forward"]?.place ?? section.place
                )
            }
        }
    }
}
