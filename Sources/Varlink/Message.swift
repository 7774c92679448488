import FoundationEssentials

/// Messages of the Varlink protocol (varlink.org): JSON objects that end with a NUL byte.
public enum VarlinkMessage {
    /// The longest message that is read, in bytes.
    public static let maximumLength = 64 << 10

    /// A call's method. Its parameters are read once the method is known.
    public struct Call: Decodable, Sendable {
        public let method: String
        public let oneway: Bool?
        public let more: Bool?
    }

    struct CallBody<Parameters: Encodable>: Encodable {
        let method: String
        let parameters: Parameters
        let more: Bool?
    }

    struct ParametersBody<Parameters: Decodable>: Decodable {
        let parameters: Parameters
    }

    struct ReplyBody<Parameters: Encodable>: Encodable {
        let parameters: Parameters
        let continues: Bool?
    }

    struct ErrorBody<Parameters: Encodable>: Encodable {
        let error: String
        let parameters: Parameters
    }

    struct ReplyHeader: Decodable {
        let error: String?
        let continues: Bool?
    }

    /// What every error of ours carries.
    public struct Reason: Codable, Sendable {
        public let reason: String

        public init(_ reason: String) { self.reason = reason }
    }

    /// - Parameter more: as many replies are wanted as there are.
    public static func call(_ method: String, _ parameters: some Encodable, more: Bool = false) throws -> [UInt8] {
        try encode(CallBody(method: method, parameters: parameters, more: more ? true : nil))
    }

    /// - Parameter continues: more replies to the same call follow.
    public static func reply(_ parameters: some Encodable, continues: Bool = false) throws -> [UInt8] {
        try encode(ReplyBody(parameters: parameters, continues: continues ? true : nil))
    }

    public static func error(_ name: String, _ parameters: some Encodable) throws -> [UInt8] {
        try encode(ErrorBody(error: name, parameters: parameters))
    }

    public static func decodeCall(_ message: [UInt8]) throws -> Call {
        try JSONDecoder().decode(Call.self, from: Data(message))
    }

    /// The parameters of a call or of a reply. A message without any is read as `{}`.
    public static func parameters<T: Decodable>(_ message: [UInt8], as type: T.Type) throws -> T {
        do {
            return try JSONDecoder().decode(ParametersBody<T>.self, from: Data(message)).parameters
        } catch DecodingError.keyNotFound(let key, _) where key.stringValue == "parameters" {
            return try JSONDecoder().decode(T.self, from: Data("{}".utf8))
        }
    }

    private static func encode(_ body: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return try [UInt8](encoder.encode(body)) + [0]
    }
}

/// Takes a stream apart into messages.
public struct VarlinkFraming {
    private var buffer: [UInt8] = []

    public struct TooLong: Error {}

    public init() {}

    /// The messages that `bytes` complete, without their NUL bytes.
    public mutating func take(_ bytes: ArraySlice<UInt8>) throws(TooLong) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        var rest = bytes
        while let end = rest.firstIndex(of: 0) {
            if buffer.count + (end - rest.startIndex) > VarlinkMessage.maximumLength { throw TooLong() }
            messages.append(buffer + rest[rest.startIndex..<end])
            buffer = []
            rest = rest[(end + 1)...]
        }
        if buffer.count + rest.count > VarlinkMessage.maximumLength { throw TooLong() }
        buffer += rest
        return messages
    }
}
