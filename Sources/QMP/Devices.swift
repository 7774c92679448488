/// Commands for a guest's devices, as in QEMU's QAPI schema.

/// Asks the guest to give memory back, or take it again, until it has so much.
public struct SetBalloon: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let value: UInt64
    }

    public typealias Reply = Empty
    public static let name = "balloon"
    public let arguments: Arguments

    /// - Parameter bytes: what the guest is to have.
    public init(bytes: UInt64) { arguments = Arguments(value: bytes) }
}

public struct QueryBalloon: QMPCommand {
    public struct Reply: Decodable, Sendable {
        /// Bytes that the guest has now.
        public let actual: UInt64
    }

    public static let name = "query-balloon"
    public init() {}
}

/// Hands a connected socket to QEMU's VNC server.
public struct AddDisplayClient: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let `protocol` = "vnc"
        let fdname: String
    }

    public typealias Reply = Empty
    public static let name = "add_client"
    public let arguments: Arguments

    /// - Parameter name: by which `GetDescriptor` has passed the socket.
    public init(descriptor name: String) { arguments = Arguments(fdname: name) }
}

/// As `AddDescriptor`, for the number that the descriptor has in QEMU.
public struct PassDescriptor: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public let fd: Int32
    }

    public static let name = "add-fd"
    public let arguments: AddDescriptor.Arguments

    public init(set: Int) { arguments = AddDescriptor.Arguments(fdsetID: set) }
}

/// Shared memory of a file.
public struct AddMemoryBackend: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let type = "memory-backend-file"
        let id: String
        let size: UInt64
        let path: String
        let share = true

        enum CodingKeys: String, CodingKey {
            case id, size, share
            case type = "qom-type"
            case path = "mem-path"
        }
    }

    public typealias Reply = Empty
    public static let name = "object-add"
    public let arguments: Arguments

    /// - Parameter size: bytes.
    public init(id: String, size: UInt64, path: String) { arguments = Arguments(id: id, size: size, path: path) }
}

public struct RemoveObject: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let id: String
    }

    public typealias Reply = Empty
    public static let name = "object-del"
    public let arguments: Arguments

    public init(id: String) { arguments = Arguments(id: id) }
}

public struct AddDIMM: QMPCommand {
    public struct Arguments: Encodable, Sendable {
        let driver = "pc-dimm"
        let id: String
        let memdev: String
        let slot: Int
    }

    public typealias Reply = Empty
    public static let name = "device_add"
    public let arguments: Arguments

    public init(id: String, backend: String, slot: Int) { arguments = Arguments(id: id, memdev: backend, slot: slot) }
}

/// Asks the guest to give a device up. That it has, an event says.
public struct RemoveDevice: QMPCommand {
    public typealias Reply = Empty
    public static let name = "device_del"
    public let arguments: RemoveObject.Arguments

    public init(id: String) { arguments = RemoveObject.Arguments(id: id) }
}

public struct QueryMemoryDevices: QMPCommand {
    public struct Device: Decodable, Sendable {
        public struct Data: Decodable, Sendable {
            /// Where the backend is in QEMU's tree of objects.
            public let backend: String
            public let slot: Int
            /// Guest-physical.
            public let address: UInt64

            enum CodingKeys: String, CodingKey {
                case slot
                case backend = "memdev"
                case address = "addr"
            }
        }

        public let data: Data
    }

    public typealias Reply = [Device]
    public static let name = "query-memory-devices"
    public init() {}
}
