import Linux

/// The commands that Perdure uses, as in QEMU's QAPI schema. Members that it does not use are left out.

public struct NegotiateCapabilities: QMPCommand {
    public typealias Reply = Empty
    public static let name = "qmp_capabilities"
    public init() {}
}

public struct QueryVersion: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public struct Numbers: Decodable, Sendable {
            public let major: Int
            public let minor: Int
            public let micro: Int
        }

        public let qemu: Numbers
        public let package: Words
    }

    public static let name = "query-version"
    public init() {}
}

public struct QueryStatus: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public let status: RunState
        public let running: Bool
    }

    public static let name = "query-status"
    public init() {}
}

/// QEMU's RunState; what is not known by name is kept as it came.
public struct RunState: RawRepresentable, Codable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { ForeignText.printable(rawValue) }

    public static let running = RunState(rawValue: "running")
    public static let paused = RunState(rawValue: "paused")
    public static let prelaunch = RunState(rawValue: "prelaunch")
    public static let postmigrate = RunState(rawValue: "postmigrate")
    public static let finishMigrate = RunState(rawValue: "finish-migrate")
    public static let inmigrate = RunState(rawValue: "inmigrate")
    public static let shutdown = RunState(rawValue: "shutdown")
}

public struct QueryMachines: QMPCommand {
    public struct Machine: Decodable, Sendable {
        public let name: String
        public let alias: String?
        public let deprecated: Bool?
    }

    public typealias Reply = [Machine]
    public static let name = "query-machines"
    public init() {}
}

public struct QueryCPUDefinitions: QMPCommand {
    public struct Model: Decodable, Sendable {
        public let name: String
        public let aliasOf: String?

        enum CodingKeys: String, CodingKey {
            case name
            case aliasOf = "alias-of"
        }
    }

    public typealias Reply = [Model]
    public static let name = "query-cpu-definitions"
    public init() {}
}

public struct QuerySchema: QMPCommand {
    /// One entity of the schema; which members are there depends on its kind.
    public struct Entity: Decodable, Sendable {
        public struct Member: Decodable, Sendable {
            /// Absent in alternates.
            public let name: String?
        }

        public let name: String
        public let metaType: String
        public let argType: String?
        public let members: [Member]?

        enum CodingKeys: String, CodingKey {
            case name, members
            case metaType = "meta-type"
            case argType = "arg-type"
        }
    }

    public typealias Reply = [Entity]
    public static let name = "query-qmp-schema"
    public init() {}
}

public struct Stop: QMPCommand {
    public typealias Reply = Empty
    public static let name = "stop"
    public init() {}
}

public struct Continue: QMPCommand {
    public typealias Reply = Empty
    public static let name = "cont"
    public init() {}
}

public struct SystemPowerdown: QMPCommand {
    public typealias Reply = Empty
    public static let name = "system_powerdown"
    public init() {}
}

public struct SystemReset: QMPCommand {
    public typealias Reply = Empty
    public static let name = "system_reset"
    public init() {}
}

public struct Quit: QMPCommand {
    public typealias Reply = Empty
    public static let name = "quit"
    public init() {}
}

public struct GetDescriptor: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let fdname: String
    }

    public typealias Reply = Empty
    public static let name = "getfd"
    public let arguments: Arguments

    /// The descriptor passed along is known to QEMU by `name` until a command uses it.
    public init(name: String) { arguments = Arguments(fdname: name) }
}

public struct AddDescriptor: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let fdsetID: Int

        enum CodingKeys: String, CodingKey {
            case fdsetID = "fdset-id"
        }
    }

    public typealias Reply = Empty
    public static let name = "add-fd"
    public let arguments: Arguments

    /// The descriptor passed along can be opened as `/dev/fdset/ID`.
    public init(set: Int) { arguments = Arguments(fdsetID: set) }
}

public struct RemoveDescriptors: QMPCommand {
    public typealias Reply = Empty
    public static let name = "remove-fd"
    public let arguments: AddDescriptor.Arguments

    public init(set: Int) { arguments = AddDescriptor.Arguments(fdsetID: set) }
}

public struct QueryBlockStatistics: QMPCommand {
    public struct Device: Decodable, Sendable {
        public struct Counters: Decodable, Sendable {
            public let readOperations: UInt64
            public let writeOperations: UInt64
            public let flushOperations: UInt64
            public let readBytes: UInt64?
            public let writtenBytes: UInt64?
            /// Nanoseconds.
            public let readTime: UInt64?
            public let writeTime: UInt64?
            public let flushTime: UInt64?
            public let failedReads: UInt64?
            public let failedWrites: UInt64?
            public let failedFlushes: UInt64?

            enum CodingKeys: String, CodingKey {
                case readOperations = "rd_operations"
                case writeOperations = "wr_operations"
                case flushOperations = "flush_operations"
                case readBytes = "rd_bytes"
                case writtenBytes = "wr_bytes"
                case readTime = "rd_total_time_ns"
                case writeTime = "wr_total_time_ns"
                case flushTime = "flush_total_time_ns"
                case failedReads = "failed_rd_operations"
                case failedWrites = "failed_wr_operations"
                case failedFlushes = "failed_flush_operations"
            }

            public var failures: UInt64 {
                [failedReads, failedWrites, failedFlushes].reduce(0) { $0 &+ ($1 ?? 0) }
            }
        }

        public let stats: Counters
        public let nodeName: Words?

        enum CodingKeys: String, CodingKey {
            case stats
            case nodeName = "node-name"
        }
    }

    public typealias Reply = [Device]
    public static let name = "query-blockstats"
    public init() {}
}

/// A command of QEMU's monitor for people; its reply is text, which differs between versions.
public struct HumanMonitorCommand: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let commandLine: String

        enum CodingKeys: String, CodingKey {
            case commandLine = "command-line"
        }
    }

    public typealias Reply = String
    public static let name = "human-monitor-command"
    public let arguments: Arguments

    public init(_ commandLine: String) { arguments = Arguments(commandLine: commandLine) }
}

/// Puts another back end behind the serial console, at once and with nothing lost.
public struct ChangeConsole: QMPCommand {
    /// By numbers of descriptors that QEMU has inherited.
    public enum Backend: Sendable {
        case output(log: Int32)
        case both(log: Int32, input: Int32)
    }

    public struct Arguments: Encodable, Sendable {
        let id = "console"
        let backend: Kind
    }

    struct Kind: Encodable, Sendable {
        let type: String
        let data: Files
    }

    struct Files: Encodable, Sendable {
        let logfile: String
        let logappend = true
        var input: String?
        /// Required of a file, and of no use beside the log.
        var out: String?

        enum CodingKeys: String, CodingKey {
            case logfile, logappend, out
            case input = "in"
        }
    }

    public typealias Reply = Empty
    public static let name = "chardev-change"
    public let arguments: Arguments

    public init(to backend: Backend) {
        func path(_ descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }
        switch backend {
        case .output(let log): arguments = Arguments(backend: Kind(type: "null", data: Files(logfile: path(log))))
        case .both(let log, let input):
            let files = Files(logfile: path(log), input: path(input), out: "/dev/null")
            arguments = Arguments(backend: Kind(type: "file", data: files))
        }
    }
}
