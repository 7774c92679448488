/// The guest's memory and registers, as QEMU writes them for debuggers.

public struct QueryDumpCapability: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public let formats: [String]
    }

    public static let name = "query-dump-guest-memory-capability"
    public init() {}
}

public struct DumpGuestMemory: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let paging: Bool
        let `protocol`: String
        let detach: Bool
        let format: String
    }

    public typealias Reply = Empty
    public static let name = "dump-guest-memory"
    public let arguments: Arguments

    /// Begins, and does not wait for the end: DUMP_COMPLETED says it.
    /// - Parameters:
    ///   - format: one of those that `QueryDumpCapability` names.
    ///   - paging: by the guest's virtual addresses.
    ///   - descriptor: the name of one that has been passed by `GetDescriptor`; it is written to from its beginning.
    public init(format: String, paging: Bool, descriptor: String) {
        arguments = Arguments(paging: paging, protocol: "fd:\(descriptor)", detach: true, format: format)
    }
}

public struct QueryDump: QMPCommand {
    public struct Reply: Decodable, Sendable {
        /// `none`, `active`, `completed` or `failed`.
        public let status: Words
        /// Bytes.
        public let completed: Int
        public let total: Int
    }

    public static let name = "query-dump"
    public init() {}
}
