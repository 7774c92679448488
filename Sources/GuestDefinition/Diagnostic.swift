/// A problem in a definition, and where it is.
public struct Diagnostic: Sendable, Equatable, CustomStringConvertible {
    public enum Severity: String, Sendable {
        /// The definition cannot be used.
        case error
        /// The definition does something, but probably not what was meant.
        case warning
    }

    /// Path of the file; empty where there is none.
    public var file: String
    /// From 1; 0 if the problem concerns the file as a whole.
    public var line: Int
    /// From 1, in Unicode scalars; 0 as for `line`.
    public var column: Int
    public var message: String
    public var severity: Severity
    /// The text of the line, if there is a line.
    public var source: String?

    public init(
        file: String,
        line: Int = 0,
        column: Int = 0,
        message: String,
        severity: Severity = .error,
        source: String? = nil
    ) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.severity = severity
        self.source = source
    }

    /// One line: `FILE:LINE:COLUMN: MESSAGE`.
    public var description: String {
        var place = file
        if line > 0 { place += ":\(line):\(column)" }
        if !place.isEmpty { place += ": " }
        return place + (severity == .warning ? "warning: " : "") + message
    }

    /// The description, and below it the line of the file with a caret at the column.
    public func rendered() -> String {
        guard line > 0, let source else { return description }
        let scalars = Array(source.unicodeScalars)
        // A window around the column, so that a very long line does not bury the message.
        let column = min(max(self.column - 1, 0), scalars.count)
        let start = column > 100 ? column - 60 : 0
        let end = min(scalars.count, start + 110)
        let text = String(String.UnicodeScalarView(scalars[start..<end].map { printable($0) }))
        let padding = scalars[start..<column].map { $0 == "\t" ? "\t" : " " }.joined()
        return "\(description)\n  \(text)\n  \(padding)^"
    }
}

/// A definition that cannot be used, with everything that is wrong with it.
public struct DefinitionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Errors and warnings, in the order in which the files are read and then by line.
    public let diagnostics: [Diagnostic]

    public init(diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics
    }

    /// All diagnostics, each with its line and a caret.
    public var description: String {
        diagnostics.map { $0.rendered() }.joined(separator: "\n")
    }
}

/// Text from a file as it may appear in a message, in quotes.
func quoted(_ text: some StringProtocol) -> String { "'\(shown(text))'" }

/// Text from a file as it may appear in a message: on one line, and not too long.
func shown(_ text: some StringProtocol) -> String {
    let limit = 80
    let scalars = text.unicodeScalars.prefix(limit + 1)
    let shown = String(String.UnicodeScalarView(scalars.prefix(limit).map { printable($0) }))
    return scalars.count > limit ? "\(shown)…" : shown
}

/// Keeps control characters, which could steer a terminal, out of what is printed.
private func printable(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    switch scalar.properties.generalCategory {
    case .control where scalar != "\t": "\u{FFFD}"
    case .format, .lineSeparator, .paragraphSeparator, .surrogate: "\u{FFFD}"
    default: scalar
    }
}
