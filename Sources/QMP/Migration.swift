/// Saving and loading of device state, which QEMU calls migration.

public struct MigrationCapability: Encodable, Sendable {
    /// As QEMU spells it.
    public let capability: String
    let state: Bool

    public init(_ capability: String, _ state: Bool) { (self.capability, self.state) = (capability, state) }

    /// RAM stays where it is: only what is not in shared, named memory goes into the stream.
    public static let ignoreShared = MigrationCapability("x-ignore-shared", true)
    /// MIGRATION events are sent.
    public static let events = MigrationCapability("events", true)
    /// The loading side takes image locks when it continues, not when it has loaded.
    public static let lateBlockActivate = MigrationCapability("late-block-activate", true)
}

public struct SetMigrationCapabilities: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let capabilities: [MigrationCapability]
    }

    public typealias Reply = Empty
    public static let name = "migrate-set-capabilities"
    public let arguments: Arguments

    public init(_ capabilities: [MigrationCapability]) { arguments = Arguments(capabilities: capabilities) }
}

public struct Migrate: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let uri: String
    }

    public typealias Reply = Empty
    public static let name = "migrate"
    public let arguments: Arguments

    public init(uri: String) { arguments = Arguments(uri: uri) }
}

public struct CancelMigration: QMPCommand {
    public typealias Reply = Empty
    public static let name = "migrate_cancel"
    public init() {}
}

public struct MigrateIncoming: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let uri: String
        let exitOnError: Bool?

        enum CodingKeys: String, CodingKey {
            case uri
            case exitOnError = "exit-on-error"
        }
    }

    public typealias Reply = Empty
    public static let name = "migrate-incoming"
    public let arguments: Arguments

    /// - Parameter exitOnError: nil for a QEMU that does not know the argument; it exits.
    public init(uri: String, exitOnError: Bool?) { arguments = Arguments(uri: uri, exitOnError: exitOnError) }
}

public struct QueryMigration: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public let status: MigrationStatus?
        public let error: Words?
        public let blockers: [Words]?

        enum CodingKeys: String, CodingKey {
            case status
            case error = "error-desc"
            case blockers = "blocked-reasons"
        }
    }

    public static let name = "query-migrate"
    public init() {}
}

/// QEMU's MigrationStatus; newer ones than known here are kept as they came.
public struct MigrationStatus: RawRepresentable, Codable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    public static let completed = MigrationStatus(rawValue: "completed")
    public static let failed = MigrationStatus(rawValue: "failed")
    public static let cancelled = MigrationStatus(rawValue: "cancelled")

    public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }

    private struct EventData: Decodable {
        let status: MigrationStatus
    }

    /// The status that a MIGRATION event brings, nil for other events.
    public init?(event: QMPEvent) {
        guard event.name == "MIGRATION", let data = try? event.data(as: EventData.self) else { return nil }
        self = data.status
    }
}
