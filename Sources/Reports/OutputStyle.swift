import Glibc
import Linux

/// What the reader of the output can show.
public struct OutputStyle: Sendable {
    /// More than ASCII: block characters, arrows.
    public let isRich: Bool

    /// How many characters fit on a line; nil where lines may have any length.
    public let columns: Int?

    public init(isRich: Bool, columns: Int? = nil) {
        self.isRich = isRich
        self.columns = columns
    }

    /// Of standard output.
    public static var standardOutput: OutputStyle {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"]
        let locale = names.lazy.compactMap { getenv($0).map { String(cString: $0) } }.first { !$0.isEmpty }
        guard RawTerminal.isTerminal(STDOUT_FILENO) else { return OutputStyle(isRich: false) }
        return OutputStyle(isRich: locale.map(isUTF8) ?? false, columns: RawTerminal.columns(STDOUT_FILENO))
    }

    static func isUTF8(_ locale: String) -> Bool {
        let codeset = locale.lowercased().split(separator: "@")[0].split(separator: ".").dropFirst().first
        return codeset == "utf-8" || codeset == "utf8"
    }
}
