import Linux

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
        let type = value("Type", section) { text throws(ValueProblem) in try Values.word(text, as: Network.Kind.self) }
        let interface = value("Interface", section, Values.interface)
        let bridge = value("Bridge", section, Values.interface)
        let parent = value("Parent", section, Values.interface)
        let mode = value("Mode", section) { text throws(ValueProblem) in try Values.word(text, as: MacvlanMode.self) }
        let queues = value("Queues", section) { text throws(ValueProblem) in
            try Values.integer(text, in: Network.queueCounts)
        }
        let vhost = value("VHost", section) { text throws(ValueProblem) in try Values.word(text, as: VHost.self) }
        let mtu = value("MTU", section) { text throws(ValueProblem) in try Values.integer(text, in: 576...65_521) }
        let forwards = value("Forward", section, Values.forwards) ?? []
        let mac =
            value("MACAddress", section, Values.macAddress)
            ?? NetworkDefaults.mac(guest: name, id: id, machine: machineID)
        switch type ?? .tap {
        case .tap, .macvtap:
            warnOfNoEffect(["Forward"], section, unless: "Type=user")
            var uplink: Network.Uplink?
            if type == .macvtap {
                warnOfNoEffect(["Bridge"], section, unless: "Type=tap")
                if parent == nil, section.assignments["Parent"]?.value.isEmpty ?? true {
                    problems.add(
                        "a macvtap needs Parent=, the interface of the host that the guest is to be on",
                        at: section.assignments["Type"]?.place ?? section.place
                    )
                }
                uplink = Network.Uplink(
                    parent: parent ?? "",
                    mode: mode ?? .bridge,
                    interface: NetworkDefaults.uplink(guest: name, id: id)
                )
            } else {
                warnOfNoEffect(["Parent", "Mode"], section, unless: "Type=macvtap")
            }
            return Network(
                id: id,
                mac: mac,
                interface: interface ?? NetworkDefaults.interface(guest: name, id: id),
                bridge: uplink == nil ? bridge : nil,
                uplink: uplink,
                queues: queues ?? 1,
                mtu: mtu,
                vhost: vhost ?? .auto
            )
        case .user:
            warnOfNoEffect(["Interface", "Bridge", "Queues", "VHost", "MTU"], section, unless: "Type=tap")
            warnOfNoEffect(["Parent", "Mode"], section, unless: "Type=macvtap")
            return Network(id: id, type: .user, mac: mac, vhost: .no, forwards: forwards)
        }
    }

    /// What can be used only once, with the title of the section that does.
    private struct Owners {
        var macs: [String: String] = [:]
        var interfaces: [String: String] = [:]
        var parents: [String: String] = [:]
        /// Parents.
        var passthru: Set<String> = []
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
        if let uplink = network.uplink, let other = owners.interfaces.updateValue(title, forKey: uplink.interface) {
            problems.add(
                "\(quoted(uplink.interface)) is the interface of \(other), and the one that \(title) has on "
                    + "\(quoted(uplink.parent)); set another Interface=",
                at: section.place
            )
        }
        if let parent = network.uplink?.parent, parent == network.interface {
            problems.add(
                "\(quoted(parent)) can't be the interface and its parent",
                at: section.assignments["Interface"]?.place ?? section.place
            )
        }
        if let parent = network.uplink?.parent, !parent.isEmpty,
            let other = owners.parents.updateValue(title, forKey: parent),
            network.uplink?.mode == .passthru || owners.passthru.contains(parent)
        {
            problems.add(
                "\(quoted(parent)) is also the parent of \(other), and one of the two would have it for itself by "
                    + "Mode=passthru",
                at: section.assignments["Mode"]?.place ?? section.place
            )
        }
        if let uplink = network.uplink, uplink.mode == .passthru { owners.passthru.insert(uplink.parent) }
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
