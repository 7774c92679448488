import Terminal
import Testing

struct EscapeSequenceTests {
    private static let start = ContinuousClock.now

    /// Feeds pieces that come at milliseconds after the start; what was passed on, and in which piece the end came.
    private func feed(_ pieces: [(Int, String)]) -> (passed: String, endedIn: Int?) {
        var escape = EscapeSequence()
        var passed: [UInt8] = []
        for (index, piece) in pieces.enumerated() {
            let bytes = Array(piece.1.utf8)
            let result = escape.take(bytes[...], at: Self.start + .milliseconds(piece.0))
            passed += result.passed
            if result.isComplete { return (String(decoding: passed, as: UTF8.self), index) }
        }
        return (String(decoding: passed, as: UTF8.self), nil)
    }

    @Test func threePressesEndIt() {
        #expect(feed([(0, "\u{1D}"), (300, "\u{1D}"), (999, "\u{1D}x")]) == ("\u{1D}\u{1D}", 2))
        #expect(feed([(0, "ls\n\u{1D}\u{1D}\u{1D}rest")]) == ("ls\n\u{1D}\u{1D}", 0))
    }

    @Test func slowPressesAreTheGuests() {
        #expect(feed([(0, "\u{1D}"), (600, "\u{1D}"), (1000, "\u{1D}")]) == ("\u{1D}\u{1D}\u{1D}", nil))
        #expect(feed([(0, "\u{1D}"), (600, "\u{1D}"), (1000, "\u{1D}"), (1500, "\u{1D}")]).endedIn == 3)
    }

    @Test func anotherKeyInBetweenStartsAgain() {
        #expect(feed([(0, "\u{1D}\u{1D}a\u{1D}\u{1D}")]) == ("\u{1D}\u{1D}a\u{1D}\u{1D}", nil))
        #expect(feed([(0, "\u{1D}\u{1D}"), (10, "a"), (20, "\u{1D}")]).endedIn == nil)
        #expect(feed([(0, "")]) == ("", nil))
    }
}
