import Linux

/// What QEMU says for people: one line, without control characters, cut where it is too long.
public struct Words: Decodable, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) { description = ForeignText.printable(text) }

    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }
}
