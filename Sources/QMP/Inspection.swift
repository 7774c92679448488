/// Questions about what a QEMU knows and how it is made up, as in QEMU's QAPI schema.

public struct QueryMemoryBackends: QMPCommand {
    public struct Backend: Decodable, Sendable {
        public let id: Words?
        /// Bytes.
        public let size: UInt64
        public let share: Bool?
    }

    public typealias Reply = [Backend]
    public static let name = "query-memdev"
    public init() {}
}

public struct QueryMigrationCapabilities: QMPCommand {
    public struct Capability: Decodable, Sendable {
        public let capability: String
        public let state: Bool
    }

    public typealias Reply = [Capability]
    public static let name = "query-migrate-capabilities"
    public init() {}
}

public struct QueryCPUs: QMPCommand {
    public struct CPU: Decodable, Sendable {
        /// Where the CPU is in QEMU's tree of objects.
        public let path: String
        /// Which socket, core and thread it is; empty where QEMU does not say it in numbers.
        public let place: [String: Int]

        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            path = try values.decode(String.self, forKey: .path)
            place = (try? values.decode([String: Int].self, forKey: .place)) ?? [:]
        }

        enum CodingKeys: String, CodingKey {
            case path = "qom-path"
            case place = "props"
        }
    }

    public typealias Reply = [CPU]
    public static let name = "query-cpus-fast"
    public init() {}
}

public struct ObjectProperty: Decodable, Sendable {
    public let name: String
    public let type: String
}

public struct ListTypeArguments: Encodable, Sendable {
    let typename: String
}

/// What can be said of a device on the command line.
public struct ListDeviceProperties: QMPCommand {
    public typealias Reply = [ObjectProperty]
    public static let name = "device-list-properties"
    public let arguments: ListTypeArguments

    public init(of type: String) { arguments = ListTypeArguments(typename: type) }
}

/// What can be said of a backend object on the command line.
public struct ListObjectProperties: QMPCommand {
    public typealias Reply = [ObjectProperty]
    public static let name = "qom-list-properties"
    public let arguments: ListTypeArguments

    public init(of type: String) { arguments = ListTypeArguments(typename: type) }
}

public struct ListProperties: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let path: String
    }

    public typealias Reply = [ObjectProperty]
    public static let name = "qom-list"
    public let arguments: Arguments

    public init(path: String) { arguments = Arguments(path: path) }
}

public struct GetProperty<Value: Decodable & Sendable>: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let path: String
        let property: String
    }

    public typealias Reply = Value
    public static var name: String { "qom-get" }
    public let arguments: Arguments

    public init(_ property: String, of path: String) { arguments = Arguments(path: path, property: property) }
}

/// 32 features of an x86 CPU: what CPUID puts into one register.
public struct CPUFeatureWord: Decodable, Sendable {
    /// What the guest has in EAX when it asks.
    public let leaf: UInt32
    /// What the guest has in ECX, where that matters.
    public let subleaf: UInt32?
    public let register: String
    public let features: UInt32

    enum CodingKeys: String, CodingKey {
        case leaf = "cpuid-input-eax"
        case subleaf = "cpuid-input-ecx"
        case register = "cpuid-register"
        case features
    }
}
