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

    private var entries: [String: Descriptor] = [:]

    subscript(_ name: String) -> Descriptor? {
        get { entries[name] }
        set { entries[name] = newValue }
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
