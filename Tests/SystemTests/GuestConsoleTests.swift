import SystemTestSupport
import Testing

@Suite struct GuestConsoleTests {
    private static func line(_ content: String) -> String {
        let digits = String(crc32(content.utf8), radix: 16)
        return content + " check=" + String(repeating: "0", count: 8 - digits.count) + digits + "\n"
    }

    private static func ready(_ boot: String) -> String {
        "\n" + line("perdure-guest ready heartbeat_paddr=0x7bf0000 heartbeat_magic=0x6265617470657264 boot=\(boot)")
    }

    private static func tick(_ number: Int, boot: String, ramErrors: Int = 0, diskErrors: Int = 0) -> String {
        let digits = "\(number)"
        let padded = String(repeating: "0", count: 6 - digits.count) + digits
        return line(
            "tick=\(padded) boot=\(boot) sweeps=\(number / 2) pages=16384 ram_errors=\(ramErrors) "
                + "disk_records=\(number * 3) disk_errors=\(diskErrors) written_mib=0"
        )
    }

    private static let first = "00000000000000a1"
    private static let second = "00000000000000b2"
    private static let noise = "[    0.000000] Linux version 6.1\r\nSeaBIOS\r\n"
    private static let ticks = (1...5).map { tick($0, boot: first) }
    private static let good = noise + ready(first) + ticks.joined()

    @Test func summarizesWhatTheGuestSaid() throws {
        let boot = try GuestConsole(Self.good).verified()
        #expect(boot.id == Self.first)
        #expect(boot.heartbeatAddress == 0x7bf_0000)
        #expect(boot.heartbeatMagic == 0x6265_6174_7065_7264)
        #expect(boot.lastTick == 5)
        #expect(boot.sweeps == 2)
        #expect(boot.pages == 16384)
        #expect(boot.diskRecords == 15)
        #expect(boot.ending == .none)
    }

    @Test func knowsTheCheckOfZlib() {
        #expect(crc32("123456789".utf8) == 0xcbf4_3926)
    }

    @Test func catchesEveryLostByte() {
        let start = Array((Self.noise + Self.ready(Self.first)).utf8)
        let ticks = Array(Self.ticks.joined().utf8)
        // Without its last byte, the text ends in an unfinished line, which is no fault.
        for index in ticks.indices.dropLast() {
            var damaged = ticks
            damaged.remove(at: index)
            #expect(throws: CommandFailure.self, "byte \(index)") { try GuestConsole(start + damaged).verified() }
        }
    }

    @Test func catchesEveryDoubledByte() {
        let start = Array((Self.noise + Self.ready(Self.first)).utf8)
        let ticks = Array(Self.ticks.joined().utf8)
        for index in ticks.indices {
            var damaged = ticks
            damaged.insert(ticks[index], at: index)
            #expect(throws: CommandFailure.self, "byte \(index)") { try GuestConsole(start + damaged).verified() }
        }
    }

    @Test(arguments: 0..<4) func catchesALostLine(index: Int) {
        var ticks = Self.ticks
        ticks.remove(at: index)
        #expect(throws: CommandFailure.self) { try GuestConsole(Self.ready(Self.first) + ticks.joined()).verified() }
    }

    @Test(arguments: 0..<5) func catchesADoubledLine(index: Int) {
        var ticks = Self.ticks
        ticks.insert(ticks[index], at: index)
        #expect(throws: CommandFailure.self) { try GuestConsole(Self.ready(Self.first) + ticks.joined()).verified() }
    }

    @Test func catchesSwappedLines() {
        var ticks = Self.ticks
        ticks.swapAt(1, 2)
        #expect(throws: CommandFailure.self) { try GuestConsole(Self.ready(Self.first) + ticks.joined()).verified() }
    }

    @Test func catchesADoubledReadyLine() {
        let text = Self.ready(Self.first) + Self.ready(Self.first) + Self.ticks.joined()
        #expect(throws: CommandFailure.self) { try GuestConsole(text).verified() }
    }

    @Test func countsErrors() {
        let text = Self.ready(Self.first) + Self.tick(1, boot: Self.first, ramErrors: 2)
        #expect(GuestConsole(text).boots.first?.ramErrors == 2)
        #expect(throws: CommandFailure.self) { try GuestConsole(text).verified() }
        let disk = Self.ready(Self.first) + Self.tick(1, boot: Self.first, diskErrors: 1)
        #expect(throws: CommandFailure.self) { try GuestConsole(disk).verified() }
    }

    @Test func tellsAnotherBoot() {
        let end = Self.line("perdure-guest rebooting") + "[    9.1] reboot: Restarting system\r\n"
        let console = GuestConsole(Self.good + end + Self.ready(Self.second) + Self.tick(1, boot: Self.second))
        #expect(console.problems.isEmpty)
        #expect(console.boots.map(\.id) == [Self.first, Self.second])
        #expect(console.boots.map(\.ending) == [.reboot, .none])
        #expect(throws: CommandFailure.self) { try console.verified() }
    }

    @Test func tellsAnotherBootThatCutTheFirstOff() {
        let console = GuestConsole(
            Self.good + "tick=000006 bo" + Self.noise + Self.ready(Self.second) + Self.tick(1, boot: Self.second)
        )
        #expect(console.problems.isEmpty)
        #expect(console.boots.map(\.lastTick) == [5, 1])
    }

    @Test func catchesATickOfAnotherBootWithoutAReadyLine() {
        #expect(GuestConsole(Self.good + Self.tick(6, boot: Self.second)).problems.count == 1)
    }

    @Test func catchesALineAfterThePowerOff() {
        let off = Self.good + Self.line("perdure-guest powering off")
        #expect(throws: Never.self) { try GuestConsole(off + "[    9.1] reboot: Power down\r\n").verified() }
        #expect(throws: CommandFailure.self) { try GuestConsole(off + Self.tick(6, boot: Self.first)).verified() }
    }

    @Test func leavesAnUnfinishedLineOut() throws {
        #expect(try GuestConsole(Self.good + "tick=0000").verified().lastTick == 5)
        #expect(throws: CommandFailure.self) { try GuestConsole("").verified() }
    }
}
