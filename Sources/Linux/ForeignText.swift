/// Text that another program wrote, as it may be kept, logged and shown on a terminal.
public enum ForeignText {
    /// Unicode scalars that are kept where no other limit is given.
    public static let limit = 500

    /// The text on one line, without what could steer a terminal, and with '…' at its end where it was longer than
    /// `limit` scalars.
    public static func printable(_ text: some StringProtocol, limit: Int = limit) -> String {
        var shown = String.UnicodeScalarView()
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < limit else {
                shown.append("…")
                break
            }
            shown.append(printable(scalar))
            count += 1
        }
        return String(shown)
    }

    private static func printable(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar.properties.generalCategory {
        case .control: scalar == "\n" || scalar == "\r" || scalar == "\t" ? " " : "\u{FFFD}"
        case .format, .lineSeparator, .paragraphSeparator, .surrogate: "\u{FFFD}"
        default: scalar
        }
    }
}
