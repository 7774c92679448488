import FoundationEssentials

/// The inputs that are kept in the repository, and the words that mutations put in.
public struct Corpus: Sendable {
    public let inputs: [(name: String, bytes: [UInt8])]
    let words: [[UInt8]]

    private static var directory: String { #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() }

    public init(of target: FuzzTarget) throws {
        let directory = "\(Corpus.directory)/Corpus/\(target.rawValue)"
        inputs = try FileManager.default.contentsOfDirectory(atPath: directory).sorted().map { name in
            (name, try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/\(name)"))))
        }
        let text = try String(contentsOf: URL(filePath: "\(directory).dict"), encoding: .utf8)
        words = text.split(separator: "\n").filter { $0.hasPrefix("\"") && $0.hasSuffix("\"") && $0.count > 2 }.map {
            Corpus.unescaped($0.dropFirst().dropLast())
        }
    }

    /// libFuzzer's spelling: `\\`, `\"` and `\xAB`.
    private static func unescaped(_ text: Substring) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let kind = rest.popFirst() else {
                bytes.append(byte)
                continue
            }
            if kind == UInt8(ascii: "x") {
                bytes.append(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) ?? 0)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(kind)
            }
        }
        return bytes
    }
}
