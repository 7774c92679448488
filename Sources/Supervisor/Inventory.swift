import GuestDefinition
import Linux
import Systemd

/// Every descriptor that belongs to the guest, by the name under which systemd keeps it.
struct Inventory: Sendable {
    static let ledger = "ledger"
    static let state = "vmstate"
    static let consoleLog = "console.log"
    /// A pipe.
    static let consoleInput = "console.in"
    /// The supervisor's end of the guest agent's channel.
    static let agent = "agent"
    /// The end of it that VM processes have.
    static let agentPeer = "agent.vm"

    static func ram(_ id: String) -> String { "ram.\(id)" }
    static func file(_ file: PinnedFile) -> String { "rom.\(file.rawValue)" }
    static func credential(_ id: String) -> String { "credential.\(id)" }
    static func qmp(_ generation: Int) -> String { "qmp.g\(generation)" }

    /// What shows a process that others have started: no other process may be looked into.
    static func maps(_ generation: Int) -> String { "maps.g\(generation)" }

    /// The queue of a network that belongs to one VM process.
    static func tap(_ network: String, _ queue: Int, _ generation: Int) -> String {
        "tap.\(network).\(queue).g\(generation)"
    }

    private var entries: [String: Descriptor] = [:]

    subscript(_ name: String) -> Descriptor? {
        get { entries[name] }
        set { entries[name] = newValue }
    }

    /// A network's queues of all VM processes, the oldest process's first and in their order.
    func taps(of network: String) -> [NetworkPort.Queue] {
        let prefix = "tap.\(network)."
        var found: [(queue: Int, entry: NetworkPort.Queue)] = []
        for (name, descriptor) in entries where name.hasPrefix(prefix) {
            let numbers = name.dropFirst(prefix.count).split(separator: ".")
            guard numbers.count == 2, let queue = Int(numbers[0]), let generation = Int(numbers[1].dropFirst()) else {
                continue
            }
            found.append((queue, NetworkPort.Queue(generation: generation, descriptor: descriptor)))
        }
        return found.sorted { ($0.entry.generation, $0.queue) < ($1.entry.generation, $1.queue) }.map(\.entry)
    }

    /// Names of what belongs to one VM process.
    func ends(of generation: Int) -> [String] {
        let own = [Inventory.qmp(generation), Inventory.maps(generation)]
        return names.filter { own.contains($0) || $0.hasPrefix("tap.") && $0.hasSuffix(".g\(generation)") }
    }

    var names: [String] { entries.keys.sorted() }
    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// Those that outlive VM processes, and that every one of them has open.
    var sockets: [DescriptorStore.Entry] {
        [Inventory.agent, Inventory.agentPeer].compactMap { name in
            entries[name].map { DescriptorStore.Entry(name: name, descriptor: $0) }
        }
    }

    /// All entries, the ledger first: where the store is too small, what explains the rest comes before it.
    var all: [DescriptorStore.Entry] {
        let first = names.filter { $0 == Inventory.ledger }
        let rest = names.filter { $0 != Inventory.ledger }
        return (first + rest).compactMap { name in
            entries[name].map { DescriptorStore.Entry(name: name, descriptor: $0) }
        }
    }
}
