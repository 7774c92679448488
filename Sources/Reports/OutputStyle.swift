import Glibc
import Linux

/// What the reader of the output can show.
public struct OutputStyle: Sendable {
    /// More than ASCII: block characters, arrows.
    public let isRich: Bool

    /// How many characters fit on a line; nil where lines may have any length.
    public let columns: Int?

    /// Nobody has asked for plain text (NO_COLOR), and the terminal knows colours.
    public let hasColours: Bool

    public init(isRich: Bool, columns: Int? = nil, hasColours: Bool = false) {
        self.isRich = isRich
        self.columns = columns
        self.hasColours = hasColours
    }

    /// Of standard output.
    public static var standardOutput: OutputStyle {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"]
        let locale = names.lazy.compactMap { getenv($0).map { String(cString: $0) } }.first { !$0.isEmpty }
        guard RawTerminal.isTerminal(STDOUT_FILENO) else { return OutputStyle(isRich: false) }
        func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
        return OutputStyle(
            isRich: locale.map(isUTF8) ?? false,
            columns: RawTerminal.columns(STDOUT_FILENO),
            hasColours: variable("NO_COLOR").isEmpty && !["", "dumb"].contains(variable("TERM"))
        )
    }

    /// The text with no more on a line than fits, cut between words. What does not fit goes on in a line that begins with
    /// `indent` spaces.
    public func wrapped(_ text: String, indent: Int) -> String {
        guard let columns else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if line.count <= columns { return String(line) }
            var lines = [String(line.prefix { $0 == " " })]
            var isEmpty = true
            for word in line.drop(while: { $0 == " " }).split(separator: " ", omittingEmptySubsequences: false) {
                let last = lines[lines.count - 1]
                let joined = isEmpty ? last + word : "\(last) \(word)"
                if isEmpty || joined.count <= columns {
                    lines[lines.count - 1] = joined
                } else {
                    lines.append(String(repeating: " ", count: indent) + word)
                }
                isEmpty = false
            }
            return lines.joined(separator: "\n")
        }.joined(separator: "\n")
    }

    /// Something found by `doctor` or `check`, with what helps.
    public func finding(_ severity: some Any, _ sentence: String, _ identifier: some Any, _ remedy: String) -> String {
        wrapped("\(severity): \(sentence) [\(identifier)]\n  \(remedy)", indent: 2)
    }

    static func isUTF8(_ locale: String) -> Bool {
        let codeset = locale.lowercased().split(separator: "@")[0].split(separator: ".").dropFirst().first
        return codeset == "utf-8" || codeset == "utf8"
    }
}
