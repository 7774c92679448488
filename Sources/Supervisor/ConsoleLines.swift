import Linux

/// What a guest's serial console says, line by line, as it may be logged.
struct ConsoleLines: Equatable, Sendable {
    /// Bytes. A longer line is cut into several.
    static let longestLine = 2048

    /// Those that are not empty.
    private(set) var lines: [String] = []
    /// How many bytes they were made of; what follows has no end yet.
    private(set) var length = 0

    /// - Parameters:
    ///   - limit: how many lines are taken at most.
    ///   - isFinal: nothing will follow: what has no end of a line is one, too.
    init(_ bytes: [UInt8], limit: Int, isFinal: Bool = false) {
        while length < bytes.count, lines.count < limit {
            let rest = bytes[length...]
            let piece = rest.prefix(ConsoleLines.longestLine)
            let line = piece.prefix { $0 != UInt8(ascii: "\n") }
            let isWhole = line.count < piece.count
            guard isWhole || piece.count == ConsoleLines.longestLine || isFinal else { return }
            length += line.count + (isWhole ? 1 : 0)
            let text = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if text.isEmpty { continue }
            lines.append(ForeignText.printable(String(decoding: text, as: UTF8.self), limit: ConsoleLines.longestLine))
        }
    }
}
