import Glibc

/// What the reader of the output can show.
public struct OutputStyle: Sendable {
    /// More than ASCII: block characters, arrows.
    public let isRich: Bool

    public init(isRich: Bool) { self.isRich = isRich }

    /// Of standard output.
    public static var standardOutput: OutputStyle {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"]
        let locale = names.lazy.compactMap { getenv($0).map { String(cString: $0) } }.first { !$0.isEmpty }
        return OutputStyle(isRich: isatty(STDOUT_FILENO) == 1 && locale.map(isUTF8) ?? false)
    }

    static func isUTF8(_ locale: String) -> Bool {
        let codeset = locale.lowercased().split(separator: "@")[0].split(separator: ".").dropFirst().first
        return codeset == "utf-8" || codeset == "utf8"
    }
}
