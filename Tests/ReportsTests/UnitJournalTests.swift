import Testing

@testable import Reports

struct UnitJournalTests {
    private static func text(_ priority: Int, _ message: String, _ style: OutputStyle) -> String {
        String(UnitJournal.Line(timeUsec: 0, priority: priority, message: message).text(style: style).dropFirst(21))
    }

    /// What went wrong is never cut, and a definition's mistake is shown below its line.
    @Test func whatWentWrongIsShownInFull() {
        let style = OutputStyle(isRich: true, columns: 40)
        let indent = String(repeating: " ", count: 21)
        #expect(
            UnitJournalTests.text(3, "can't be started:\n  Size=64Q\n       ^", style)
                == "can't be started:\n\(indent)  Size=64Q\n\(indent)       ^"
        )
        #expect(
            UnitJournalTests.text(4, "it has gone on for too long", style) == "it has gone on for\n\(indent)too long"
        )
        #expect(UnitJournalTests.text(6, "it has gone on for too long", style) == "it has gone on for…")
        #expect(UnitJournalTests.text(6, "one\ntwo", OutputStyle(isRich: false)) == "one two")
    }

    @Test func errorsAreRedAndWarningsYellow() {
        let style = OutputStyle(isRich: true, columns: 80, hasColours: true)
        for (priority, colour) in [(3, "\u{1B}[31m"), (4, "\u{1B}[33m")] {
            let line = UnitJournal.Line(timeUsec: 0, priority: priority, message: "m")
            #expect(line.text(style: style).hasPrefix(colour))
        }
        #expect(UnitJournalTests.text(6, "m", style) == "m")
    }
}
