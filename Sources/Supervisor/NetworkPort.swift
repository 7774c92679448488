import GuestDefinition
import Linux

/// A guest's tap interface, with the queues of the VM process that is to have it and those of others.
///
/// A VM process has queues of its own: QEMU resets what all queues of an interface share when it starts, and takes a
/// packet from a queue even while its guest is not running. So the next one starts with the queues of a spare interface,
/// which are made queues of the guest's before the guest is stopped. From then on packets wait there, for the next one.
struct NetworkPort: Sendable {
    struct Queue: Sendable {
        var generation: Int
        var descriptor: Descriptor
    }

    let guest: String
    let network: Network
    let own: [Queue]
    let others: [Queue]

    private var interface: String { network.interface }

    /// More than a queue holds.
    private static let mostPackets = 4096
    /// Before each packet, where the guest's driver says nothing else.
    private static let usualHeader = 12

    private func isActive(_ queue: Queue) -> Bool {
        guard let place = TapQueue.interface(of: queue.descriptor) else { return false }
        return place.name == interface && !place.isDetached
    }

    /// Whether packets wait for another VM process.
    var othersHavePackets: Bool { others.contains { isActive($0) && TapQueue.hasPacket($0.descriptor) } }

    // MARK: A new VM process

    /// The queues of a spare interface for a VM process that is to take over, or of the guest's own where there is none.
    static func create(_ network: Network, of guest: String, isSpare: Bool) throws -> [Descriptor] {
        let first = try TapQueue.create(isSpare ? "perdure%d" : network.interface)
        guard let name = TapQueue.interface(of: first)?.name else {
            throw SystemCallError("TUNGETIFF", on: network.interface)
        }
        var queues = [first]
        for _ in 1..<max(network.queues, 1) {
            let queue = try TapQueue.open()
            try TapQueue.attach(queue, to: name)
            queues.append(queue)
        }
        if isSpare {
            // Where the host has no IPv6 it is quiet anyway.
            try? NetworkInterface.beQuiet(name)
        } else {
            try bringUp(network, of: guest, isNew: true)
        }
        return queues
    }

    /// Sets the interface up as the definition has it.
    static func bringUp(_ network: Network, of guest: String, isNew: Bool) throws {
        let name = network.interface
        if isNew {
            // A bridge takes the lowest of its ports' addresses; and it must not take the guest's for its own.
            var address = network.octets
            address[0] = address[0] == 0xfe ? 0xfa : 0xfe
            try NetworkInterface.setAddress(name, to: address)
            if network.bridge != nil || network.uplink != nil { try? NetworkInterface.beQuiet(name) }
            if let mtu = network.mtu { try NetworkInterface.setMTU(name, to: mtu) }
        }
        let bridge = NetworkInterface.bridge(of: name)
        if bridge != network.bridge {
            if let bridge { try NetworkInterface.leave(name, from: bridge) }
            if let wanted = network.bridge { try NetworkInterface.join(name, to: wanted) }
        }
        if let uplink = network.uplink {
            try NetworkUplink(guest: guest, network: network, uplink: uplink).connect()
        }
        try NetworkInterface.setUp(name)
    }

    /// Gives a QEMU that waits for the guest's state a packet that it can't deliver. It reads no more until its guest
    /// runs, and so none that this guest would miss if the handover is undone. The packet itself is for nobody.
    func keepFromReading() throws(SystemCallError) {
        guard let first = own.first?.descriptor, let spare = TapQueue.interface(of: first)?.name, spare != interface
        else { return }
        let header = others.first(where: isActive).flatMap { try? TapQueue.header(of: $0.descriptor) }
        try TapQueue.setHeader(of: first, to: header ?? NetworkPort.usualHeader)
        try NetworkInterface.setUp(spare)
        _ = try NetworkInterface.send([NetworkPort.packetForNobody], from: spare, header: NetworkPort.shortHeader)
    }

    private static let shortHeader = 10
    private static let packetForNobody: [UInt8] = {
        let addresses: [UInt8] = [0x02, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 1]
        // 0x88b5 is for local experiments.
        return [UInt8](repeating: 0, count: shortHeader) + addresses + [0x88, 0xb5] + [UInt8](repeating: 0, count: 46)
    }()

    /// Sends a packet for nobody behind those that wait for another VM process. Once its QEMU has taken it, it has none
    /// at hand that the guest has no room for: it takes no more while it has.
    func sendLast() throws(SystemCallError) {
        for position in others.filter(isActive).indices {
            _ = try NetworkInterface.send(
                [NetworkPort.packetForNobody],
                from: interface,
                header: NetworkPort.shortHeader,
                toQueue: position
            )
        }
    }

    // MARK: Changing over

    /// Makes the VM process's queues those of the guest's interface, and has all packets wait there from then on. Does
    /// nothing where they are.
    func takeOver() throws {
        guard let first = own.first?.descriptor else { return }
        let spare = TapQueue.interface(of: first)
        if spare?.name == interface { return }
        // What QEMU believes of its queues must stay true: until it loads, it uses the first only.
        let detached = own.enumerated().map { index, queue in
            TapQueue.interface(of: queue.descriptor)?.isDetached ?? (index > 0)
        }
        if let spare { try NetworkInterface.delete(spare.name) }
        let isNew = !NetworkInterface.exists(interface)
        let active = others.filter(isActive)
        // A kernel without this spreads packets over all queues; what reaches an old one late is taken from there.
        func steer(to position: Int) {
            if let other = active.first { try? TapQueue.steer(other.descriptor, to: position) }
        }
        steer(to: 0)
        for (queue, isDetached) in zip(own, detached) where isDetached {
            try TapQueue.attach(queue.descriptor, to: interface)
            try TapQueue.setDetached(queue.descriptor, true)
        }
        // Means nothing until there is a queue at that position: from that instant on all packets go there.
        steer(to: active.count)
        for (queue, isDetached) in zip(own, detached) where !isDetached {
            try TapQueue.attach(queue.descriptor, to: interface)
        }
        if isNew { try NetworkPort.bringUp(network, of: guest, isNew: true) }
    }

    /// Leaves the VM process's queues as the only ones, with what has gathered in others. Returns how many packets were
    /// lost.
    func settle() throws -> Int {
        try takeOver()
        guard let first = own.first else { return 0 }
        let rest = others.filter(isActive)
        let newest = rest.map(\.generation).max() ?? 0
        // Older queues come first.
        if !rest.isEmpty {
            try? TapQueue.steer(first.descriptor, to: first.generation > newest ? rest.count : 0)
        }
        let header = try TapQueue.header(of: first.descriptor)
        let packets = rest.flatMap { TapQueue.takePackets($0.descriptor, limit: NetworkPort.mostPackets) }
        for queue in rest { try TapQueue.setDetached(queue.descriptor, true) }
        let lost = try NetworkInterface.send(packets, from: interface, header: header)
        try? TapQueue.steer(first.descriptor, to: nil)
        return lost
    }
}
