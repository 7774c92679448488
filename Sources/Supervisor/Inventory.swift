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

    static func ram(_ id: String) -> String { "ram.\(id)" }
    static func file(_ file: PinnedFile) -> String { "rom.\(file.rawValue)" }
    static func qmp(_ generation: Int) -> String { "qmp.g\(generation)" }

    private var entries: [String: Descriptor] = [:]

    subscript(_ name: String) -> Descriptor? {
        get { entries[name] }
        set { entries[name] = newValue }
    }

    var names: [String] { entries.keys.sorted() }
    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// All entries, the ledger first: where the store is too small, what explains the rest comes before it.
    var all: [DescriptorStore.Entry] {
        let first = names.filter { $0 == Inventory.ledger }
        let rest = names.filter { $0 != Inventory.ledger }
        return (first + rest).compactMap { name in
            entries[name].map { DescriptorStore.Entry(name: name, descriptor: $0) }
        }
    }
}
