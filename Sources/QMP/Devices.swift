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
