/// Tells when a person wants to leave an interactive session: Ctrl-] three times within a second, as machinectl(1) has it.
public struct EscapeSequence: Sendable {
    public static let name = "Ctrl-] three times within 1 s"

    private static let key: UInt8 = 0x1D
    private static let times = 3
    private static let window = Duration.seconds(1)

    /// When the key was pressed last, without anything in between.
    private var presses: [ContinuousClock.Instant] = []

    public init() {}

    /// - Returns: What of `bytes` is meant for the other side, and whether the session is to end after it. The last press
    ///   is not passed on; the others are, for each might have been the only one.
    public mutating func take(_ bytes: ArraySlice<UInt8>, at now: ContinuousClock.Instant) -> (
        passed: ArraySlice<UInt8>, isComplete: Bool
    ) {
        for index in bytes.indices {
            guard bytes[index] == EscapeSequence.key else {
                presses = []
                continue
            }
            presses = presses.filter { now - $0 < EscapeSequence.window } + [now]
            if presses.count == EscapeSequence.times { return (bytes[..<index], true) }
        }
        return (bytes, false)
    }
}
