import Testing

@testable import Reports

struct GuestTableTests {
    private static let guests: [GuestOverview] = {
        var web = GuestOverview(name: "web", state: "running")
        web.sinceUsec = 0
        (web.generation, web.qemuVersion, web.outdated) = (12, "7.2.22", true)
        (web.memoryBytes, web.lastPauseUsec) = (2 << 30, 8312)
        return [web, GuestOverview(name: "a-guest-with-quite-a-long-name", state: "off")]
    }()

    private static func lines(_ style: OutputStyle) -> [String] {
        GuestTable(style: style).lines(guests, now: 7_500_000_000)
    }

    @Test func columns() {
        #expect(
            Self.lines(OutputStyle(isRich: false))
                == [
                    "GUEST                           STATE    SINCE       GEN  QEMU             MEMORY  LAST PAUSE",
                    "web                             running  2h 5min ago   12  7.2.22 outdated      2G      8.3 ms",
                    "a-guest-with-quite-a-long-name  off      -              -  -                     -           -",
                ].map { $0.replacing("SINCE       GEN", with: "SINCE        GEN") }
        )
    }

    /// Names give way where the terminal is narrow, and nothing else.
    @Test func aNarrowTerminal() {
        let lines = Self.lines(OutputStyle(isRich: true, columns: 80))
        #expect(lines.allSatisfy { $0.count == 80 }, "\(lines)")
        #expect(lines[2].hasPrefix("a-guest-with-qu"))
        #expect(lines[2].contains("…  off"))
        #expect(Self.lines(OutputStyle(isRich: false, columns: 10))[2].hasPrefix("a-guest~  off"))
    }

    /// They take no room, and are not there unless they are wanted.
    @Test func colours() {
        let lines = Self.lines(OutputStyle(isRich: false, hasColours: true))
        #expect(lines[1].contains("\u{1B}[32mrunning\u{1B}[0m  2h") && lines[1].contains("\u{1B}[33m7.2.22 outdated"))
        #expect(lines[0].contains("\u{1B}") == false)
        let plain = lines.map { $0.replacing(/\u{1B}\[[0-9]+m/, with: "") }
        #expect(plain == Self.lines(OutputStyle(isRich: false)))
    }

    @Test(arguments: [
        (0, "0s"), (59, "59s"), (60, "1min"), (3599, "59min"), (3600, "1h"), (7500, "2h 5min"), (86_400, "1d"),
        (100_000, "1d 3h"), (-5, "0s"),
    ])
    func age(seconds: Int, text: String) { #expect(GuestTable.age(microseconds: seconds * 1_000_000) == text) }

    @Test(arguments: [(128 << 20, "128M"), (2 << 30, "2G"), (3 << 29, "1.5G")])
    func size(bytes: Int, text: String) { #expect(GuestTable.size(bytes: bytes) == text) }
}
