import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP

/// The guest's network interfaces, which outlive VM processes.
extension GuestSupervisor {
    /// Makes the queues of a VM process's networks. Those of the first one make the interfaces.
    func createQueues(_ hardware: GuestHardware, generation: Int, isSpare: Bool) async throws {
        let networks = hardware.networks.filter { $0.type == .tap }
        if networks.isEmpty { return }
        let made = try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) { [name] in
            try networks.map { try NetworkPort.create($0, of: name, isSpare: isSpare) }
        }
        for (network, queues) in zip(networks, made) {
            for (index, queue) in queues.enumerated() {
                inventory[Inventory.tap(network.id, index, generation)] = queue
            }
        }
    }

    /// What a VM process inherits for its networks, by their numbers, and what keeps it open.
    func networkDescriptors(
        _ hardware: GuestHardware,
        generation: Int
    ) throws -> (numbers: [String: NetworkDescriptors], descriptors: [Descriptor]) {
        var numbers: [String: NetworkDescriptors] = [:]
        var descriptors: [Descriptor] = []
        for network in hardware.networks where network.type == .tap {
            let queues = queues(of: network, generation)
            guard queues.count == network.queues else {
                throw Lifecycle.Failure("queues of the network '\(network.id)' are missing")
            }
            let vhosts = try vhosts(of: network)
            numbers[network.id] = NetworkDescriptors(taps: queues.map(\.raw), vhosts: vhosts.map(\.raw))
            descriptors += queues + vhosts
        }
        return (numbers, descriptors)
    }

    private func vhosts(of network: Network) throws -> [Descriptor] {
        switch network.vhost {
        case .no: return []
        case .auto:
            let opened = (0..<network.queues).map { _ in try? Descriptor.open(HostNetwork.vhostDevice, O_RDWR) }
            return opened.contains { $0 == nil } ? [] : opened.compactMap { $0 }
        case .yes:
            return try (0..<network.queues).map { _ in try Descriptor.open(HostNetwork.vhostDevice, O_RDWR) }
        }
    }

    private func queues(of network: Network, _ generation: Int) -> [Descriptor] {
        (0..<network.queues).compactMap { inventory[Inventory.tap(network.id, $0, generation)] }
    }

    /// By their names in the inventory; nil where there are none.
    func tapNumbers(_ generation: Int) -> [String: Int32]? {
        var numbers: [String: Int32] = [:]
        for name in inventory.ends(of: generation) where name != Inventory.qmp(generation) {
            numbers[name] = inventory[name]?.raw
        }
        return numbers.isEmpty ? nil : numbers
    }

    private func ports(of vm: VMProcess) -> [NetworkPort] {
        let networks = (vm.hardware ?? ledger?.hardware)?.networks ?? []
        return networks.filter { $0.type == .tap }.map { network in
            let queues = inventory.taps(of: network.id)
            return NetworkPort(
                guest: name,
                network: network,
                own: queues.filter { $0.generation == vm.generation },
                others: queues.filter { $0.generation != vm.generation }
            )
        }
    }

    /// Keeps a VM process that waits for the guest's state from taking packets.
    func parkNetworks(of vm: VMProcess) async throws {
        let ports = ports(of: vm)
        if ports.isEmpty { return }
        try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) {
            for port in ports { try port.keepFromReading() }
        }
    }

    /// How long a guest that is behind with its packets may take to catch up while nothing waits for it.
    private static let catchUpDeadline = Duration.seconds(1)
    /// And while new ones wait for the next VM process, in a queue that holds some 1000.
    private static let drainDeadline = Duration.milliseconds(200)

    /// From here on packets for the guest wait for its next VM process. The one that runs it takes those that have come
    /// before; it would keep one that comes after its stop to itself.
    func moveNetworks(to vm: VMProcess) async throws {
        let ports = ports(of: vm)
        if ports.isEmpty { return }
        await awaitEmpty(ports, besides: vm, GuestSupervisor.catchUpDeadline)
        try await BlockingCalls.run(on: loop, deadline: timeouts.stop) {
            for port in ports {
                try port.takeOver()
                try port.sendLast()
            }
        }
        await awaitEmpty(ports, besides: vm, GuestSupervisor.drainDeadline)
    }

    /// Returns when the guest has its packets, or the time is up: what it does not take then is taken from the queues.
    private func awaitEmpty(_ ports: [NetworkPort], besides vm: VMProcess, _ patience: Duration) async {
        guard let current, current !== vm else { return }
        let giveUp = ContinuousClock.now + patience
        // QEMU reads packets before it comes to the next question. One that does not answer is found out by the stop.
        repeat {
            guard (try? await current.qmp.execute(QueryStatus(), deadline: patience)) != nil else { return }
        } while ports.contains(where: \.othersHavePackets) && ContinuousClock.now < giveUp
    }

    /// Those that don't go with a tap's last queue.
    func removeInterfaces() async {
        guard ledger?.hardware.networks.contains(where: { $0.uplink != nil }) == true else { return }
        do {
            try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) { [name] in
                try NetworkUplink.remove(of: name)
            }
        } catch {
            journal(.networkProblem("*", "an interface is left behind: \(error)"))
        }
    }

    /// Leaves the guest's interfaces to one VM process.
    func settleNetworks(on vm: VMProcess) async {
        for port in ports(of: vm) {
            do {
                let (network, limit) = (port.network, timeouts.prepare)
                let lost = try await BlockingCalls.run(on: loop, deadline: limit) { [name] in
                    let lost = try port.settle()
                    try NetworkPort.bringUp(network, of: name, isNew: false)
                    return lost
                }
                if lost > 0 { journal(.networkProblem(network.id, "\(lost) packets were lost")) }
            } catch {
                journal(.networkProblem(port.network.id, "\(error)"))
            }
        }
    }
}
