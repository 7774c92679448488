/// Why a QMP command has no reply that can be used.
public enum QMPError: Error, Equatable, CustomStringConvertible {
    /// QEMU's own words.
    case refused(command: String, description: String)
    /// The connection is gone; so are all commands that waited on it.
    case disconnected(command: String, reason: String)
    case timedOut(command: String, after: Duration)
    case malformed(command: String, detail: String)

    public var description: String {
        switch self {
        case .refused(let command, let description): "QEMU refused '\(command)': \(description)"
        case .disconnected(let command, let reason): "no reply to '\(command)': \(reason)"
        case .timedOut(let command, let duration): "QEMU did not answer '\(command)' within \(duration)"
        case .malformed(let command, let detail): "QEMU's reply to '\(command)' can't be read: \(detail)"
        }
    }
}
