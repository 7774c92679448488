/// Something that reads what others have written, with what must hold whatever that is.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// A guest's definition with its drop-ins.
    case definition
    /// What a VM process sends over its monitor.
    case qmp
    /// What a client sends to the control socket.
    case varlink
    /// The ledger that a supervisor finds in the descriptor store.
    case ledger
    /// What is read of a VM process besides its monitor: its mappings and its output.
    case process

    /// Throws a `Violation` where something does not hold. Blocks, for a few milliseconds at most unless the input is long.
    public func check(_ input: [UInt8]) throws {
        switch self {
        case .definition: try DefinitionTarget.check(input)
        case .qmp: try QMPTarget.check(input)
        case .varlink: try VarlinkTarget.check(input)
        case .ledger: try LedgerTarget.check(input)
        case .process: try ProcessTarget.check(input)
        }
    }

    /// For libFuzzer, which knows a fault by the signal.
    public func checkOrTrap(_ input: [UInt8]) {
        do {
            try check(input)
        } catch {
            fatalError("\(error)")
        }
    }
}

/// Something that must hold and does not.
public struct Violation: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

func require(_ condition: Bool, _ description: @autoclosure () -> String) throws {
    if !condition { throw Violation(description()) }
}

/// Text of others that is shown to people has one line, no control characters but tabs, and an end.
func requireShowable(_ text: String, limit: Int = 2_000) throws {
    let scalars = text.unicodeScalars
    try require(scalars.count <= limit, "a message has \(scalars.count) characters")
    try require(
        !scalars.contains { $0.properties.generalCategory == .control && $0 != "\t" },
        "a message has control characters: \(text.debugDescription)"
    )
}
