import CLinux
import Glibc

/// The terminal that a person types at.
public enum RawTerminal {
    public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// How many characters fit on a line; nil where that is not known.
    public static func columns(_ descriptor: Int32) -> Int? {
        let columns = Int(clinux_terminal_columns(descriptor))
        return columns > 0 ? columns : nil
    }

    /// Passes on everything that is typed, until `restore`, the end of this program, or its crash.
    public static func enter(_ descriptor: Int32) throws(SystemCallError) {
        try check("tcsetattr", on: "the terminal") { clinux_terminal_raw(descriptor) }
    }

    /// As it was before; nothing where it was not entered.
    public static func restore() { clinux_terminal_restore() }
}
