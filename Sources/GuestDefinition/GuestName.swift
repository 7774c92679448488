/// Names of guests: what `perdure@NAME.service` and `NAME.guest` accept.
public enum GuestName {
    public static let maximumLength = 63

    /// Why a text cannot name a guest, as a sentence; nil if it can.
    public static func problem(with name: String) -> String? {
        let scalars = name.unicodeScalars
        guard let first = scalars.first else {
            return "the name of a guest is empty; give the part of 'NAME.guest' before the dot"
        }
        if scalars.count > maximumLength {
            return "\(quoted(name)) is too long for the name of a guest; use at most \(maximumLength) characters"
        }
        if !isLetterOrDigit(first) {
            return "\(quoted(name)) cannot name a guest, because it does not start with a letter or digit"
        }
        if let other = scalars.first(where: { !isLetterOrDigit($0) && !"_.-".unicodeScalars.contains($0) }) {
            return "\(quoted(name)) cannot name a guest, because it contains \(quoted(String(other))); "
                + "use letters, digits, '_', '.' and '-'"
        }
        return nil
    }

    /// The slice that holds everything of a guest. A '-' is escaped, because systemd would nest slices at it.
    public static func slice(for name: String) -> String {
        "perdure-\(name.replacing("-", with: #"\x2d"#)).slice"
    }

    private static func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9": true
        default: false
        }
    }
}
