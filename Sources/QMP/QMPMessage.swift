import FoundationEssentials

/// A command of the QEMU Machine Protocol with the types of its arguments and of its reply.
public protocol QMPCommand: Sendable {
    associatedtype Arguments: Encodable & Sendable
    associatedtype Reply: Decodable & Sendable

    static var name: String { get }
    var arguments: Arguments { get }
}

/// `{}`: no arguments, or a reply that says only that the command was carried out.
public struct Empty: Codable, Sendable {
    public init() {}
}

extension QMPCommand where Arguments == Empty {
    public var arguments: Empty { Empty() }
}

/// An event as QEMU sent it.
public struct QMPEvent: Sendable {
    public let name: String
    /// Microseconds since the epoch, by QEMU's clock.
    public let timestamp: Int64
    private let line: [UInt8]

    /// The event's data. Throws where it is not of that form.
    public func data<T: Decodable>(as type: T.Type) throws -> T {
        try JSONDecoder().decode(Envelope<T>.self, from: Data(line)).data
    }

    init?(_ header: Header, line: [UInt8]) {
        guard let name = header.event else { return nil }
        self.name = name
        let time = header.timestamp
        timestamp =
            (time?.seconds ?? 0).multipliedReportingOverflow(by: 1_000_000).partialValue
            &+ (time?.microseconds ?? 0)
        self.line = line
    }

    private struct Envelope<T: Decodable>: Decodable {
        let data: T
    }
}

/// What tells the kinds of lines apart.
struct Header: Decodable {
    struct Timestamp: Decodable {
        let seconds: Int64
        let microseconds: Int64
    }

    struct Failure: Decodable {
        let desc: String
    }

    let id: String?
    let event: String?
    let timestamp: Timestamp?
    let error: Failure?
}

struct Request<Arguments: Encodable>: Encodable {
    let execute: String
    let arguments: Arguments?
    let id: String
}

struct Response<Reply: Decodable>: Decodable {
    let `return`: Reply
}
