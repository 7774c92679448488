import Testing

@testable import Supervisor

struct ConsoleLinesTests {
    private static func lines(_ text: String, limit: Int = 10, isFinal: Bool = false) -> ConsoleLines {
        ConsoleLines(Array(text.utf8), limit: limit, isFinal: isFinal)
    }

    @Test func onlyWholeLinesAreTaken() {
        let said = Self.lines("one\r\n\r\n\ntwo\nthr")
        #expect(said.lines == ["one", "two"])
        #expect(said.length == "one\r\n\r\n\ntwo\n".utf8.count)
        #expect(Self.lines("thr").length == 0)
        let last = Self.lines("thr", isFinal: true)
        #expect(last.lines == ["thr"] && last.length == 3)
        #expect(Self.lines("") == Self.lines("", isFinal: true))
    }

    @Test func noMoreThanTheLimit() {
        let text = "a\nb\nc\nd\n"
        let first = Self.lines(text, limit: 2)
        #expect(first.lines == ["a", "b"] && first.length == 4)
        let rest = ConsoleLines(Array(text.utf8.dropFirst(first.length)), limit: 2)
        #expect(rest.lines == ["c", "d"])
    }

    @Test func longLinesAreCut() {
        let text = String(repeating: "x", count: 5000)
        let said = Self.lines(text)
        #expect(said.lines.map(\.count) == [2048, 2048])
        #expect(said.length == 4096)
        #expect(Self.lines(text + "\n").lines.map(\.count) == [2048, 2048, 904])
        // A cut that falls on the end of a line leaves no empty one.
        let exact = Self.lines(String(repeating: "x", count: 2048) + "\ny\n")
        #expect(exact.lines.map(\.count) == [2048, 1])
        #expect(exact.length == 2051)
    }

    @Test func nothingSteersATerminal() {
        let said = ConsoleLines([0x1B, 0x5B, 0x32, 0x4A, 0xFF, 0x00, 0x41, 0x0A], limit: 10)
        #expect(said.lines.count == 1)
        #expect(said.lines.first?.unicodeScalars.allSatisfy { $0.value >= 0x20 } == true)
        #expect(said.lines.first?.hasSuffix("A") == true)
    }
}

/// How a power-off is seen to go on.
struct PowerOffProgressTests {
    private static let begin = PowerOffProgress(console: 1000, disks: [1, 2])

    @Test func aShutdownGoesOn() {
        let more = PowerOffProgress(console: 1001, disks: [1, 2]).limited(since: Self.begin)
        #expect(more != Self.begin)
        #expect(PowerOffProgress(console: 1000, disks: [1, 3]).limited(since: Self.begin) != Self.begin)
        #expect(Self.begin.limited(since: Self.begin) == Self.begin)
    }

    /// From then on only its disks show that it goes on.
    @Test func aFloodIsNoProgress() {
        let much = PowerOffProgress(console: 10 << 20, disks: [1, 2]).limited(since: Self.begin)
        let more = PowerOffProgress(console: 20 << 20, disks: [1, 2]).limited(since: Self.begin)
        #expect(much == more)
        #expect(PowerOffProgress(console: 20 << 20, disks: [2, 2]).limited(since: Self.begin) != more)
        #expect(PowerOffProgress(console: 0).limited(since: Self.begin).console == 1000)
    }
}
