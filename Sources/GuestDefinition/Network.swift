import Linux

public enum NetworkType: String, Sendable, Codable, CaseIterable {
    /// An interface of the host, usually a port of a bridge.
    case tap
    /// QEMU's own NAT, which needs no privileges.
    case user
}

/// Whether the kernel moves a tap's packets instead of QEMU.
public enum VHost: String, Sendable, Codable, CaseIterable {
    /// Where the host has it.
    case auto
    case yes
    case no
}

/// A TCP or UDP port of the host that leads to one of the guest.
public struct PortForward: Sendable, Equatable, Codable {
    public enum Transport: String, Sendable, Codable, CaseIterable {
        case tcp
        case udp
    }

    public var transport: Transport
    /// IPv4, of the host.
    public var address: String
    public var port: Int
    public var guestPort: Int

    public init(transport: Transport, address: String = "127.0.0.1", port: Int, guestPort: Int) {
        self.transport = transport
        self.address = address
        self.port = port
        self.guestPort = guestPort
    }

    /// As QEMU's command line and monitor have it.
    public var rule: String { "\(transport.rawValue):\(address):\(port)-:\(guestPort)" }
    /// As a definition has it.
    public var description: String { "\(transport.rawValue):\(address):\(port):\(guestPort)" }
}

extension Network {
    /// How a definition says what a network is.
    enum Kind: String, CaseIterable {
        case tap
        case macvtap
        case user
    }

    var kind: Kind {
        switch type {
        case .tap: uplink == nil ? .tap : .macvtap
        case .user: .user
        }
    }

    /// An interface of the host that the guest has an address of its own on, as with a macvtap.
    public struct Uplink: Sendable, Equatable, Codable {
        /// Of the host.
        public var parent: String
        public var mode: MacvlanMode
        /// Of the guest on the parent. The network's other interface is a tap.
        public var interface: String

        public init(parent: String, mode: MacvlanMode = .bridge, interface: String) {
            self.parent = parent
            self.mode = mode
            self.interface = interface
        }
    }

    /// Of its address.
    public var octets: [UInt8] { mac.split(separator: ":").compactMap { UInt8($0, radix: 16) } }
}

public struct Network: Sendable, Equatable, Codable {
    public var id: String
    public var type: NetworkType
    /// In lower case, with colons.
    public var mac: String
    /// Of the host; empty with user networking.
    public var interface: String
    /// What the interface is made a port of.
    public var bridge: String?
    /// What the interface leads to instead.
    public var uplink: Uplink?
    /// Pairs of a queue to and one from the guest: 1 to 8.
    public var queues: Int
    /// Bytes of the largest packet, which the guest is told and the interface is set to.
    public var mtu: Int?
    public var vhost: VHost
    public var forwards: [PortForward]
    /// On the PCI bus, of a guest that others have started; nil where it follows from the order of the networks.
    public var slot: Int?
    /// Whether the card has an option ROM, which only one has that others have started; nil where it has none.
    public var optionROM: Bool?

    public init(
        id: String,
        type: NetworkType = .tap,
        mac: String,
        interface: String = "",
        bridge: String? = nil,
        uplink: Uplink? = nil,
        queues: Int = 1,
        mtu: Int? = nil,
        vhost: VHost = .auto,
        forwards: [PortForward] = []
    ) {
        self.id = id
        self.type = type
        self.mac = mac
        self.interface = interface
        self.bridge = bridge
        self.uplink = uplink
        self.queues = queues
        self.mtu = mtu
        self.vhost = vhost
        self.forwards = forwards
    }

    static let queueCounts = 1...8
    /// Of all networks together. Each has a descriptor in systemd's store, two during a handover.
    static let mostQueues = 16
    static let mostForwards = 64

    /// Whether this is within what any definition can ask for.
    var isPlausible: Bool {
        Network.queueCounts.contains(queues) && forwards.count <= Network.mostForwards
            && Values.isInterfaceName(interface) == (type == .tap) && octets.count == 6
            && (uplink.map { Values.isInterfaceName($0.parent) && Values.isInterfaceName($0.interface) } ?? true)
    }
}

/// Names and addresses that a network gets where its definition has none: the same whenever they are asked for.
enum NetworkDefaults {
    /// Locally administered. With the machine's ID in it: guests of one name on two hosts may share a network.
    static func mac(guest: String, id: String, machine: String) -> String {
        let hash = hash("\(guest)\0\(id)\0\(machine)")
        let octets = (0..<5).map { UInt8(truncatingIfNeeded: hash >> ($0 * 8)) }
        return ([0x52] + octets).map(hexadecimal).joined(separator: ":")
    }

    static func interface(guest: String, id: String) -> String { "pd" + digits(guest, id) }

    /// Of a network that has another one besides.
    static func uplink(guest: String, id: String) -> String { "pm" + digits(guest, id) }

    private static func digits(_ guest: String, _ id: String) -> String {
        let hash = hash("\(guest)\0\(id)")
        return (0..<6).map { hexadecimal(UInt8(truncatingIfNeeded: hash >> ($0 * 8))) }.joined()
    }

    static func hexadecimal(_ octet: UInt8) -> String {
        let text = String(octet, radix: 16)
        return text.utf8.count < 2 ? "0" + text : text
    }

    /// FNV-1a, and then every bit of it in every bit of the result. What it gives is in networks' records elsewhere,
    /// such as the leases of a DHCP server: it never changes.
    private static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "perdure network\0\(text)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash = (hash ^ (hash >> 30)) &* 0xbf58_476d_1ce4_e5b9
        hash = (hash ^ (hash >> 27)) &* 0x94d0_49bb_1331_11eb
        return hash ^ (hash >> 31)
    }
}

extension GuestHardware {
    /// The order is that of the PCI slots.
    public var networks: [Network] {
        get { nics ?? [] }
        set { nics = newValue.isEmpty ? nil : newValue }
    }
}
