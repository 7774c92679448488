import Dispatch
import Linux
import Testing

@testable import QMP

/// QEMU is not trusted: whatever it sends, the supervisor carries on.
struct HostileMonitorTests {
    private static let deadline = FakeMonitor.deadline

    private static let malformed: [(String, [UInt8])] = [
        ("no JSON", Array("hello".utf8)),
        ("empty line", []),
        ("unfinished", Array(#"{"return": {"#.utf8)),
        ("array", Array("[1]".utf8)),
        ("number", Array("1".utf8)),
        ("invalid UTF-8", Array(#"{"event": ""#.utf8) + [0xC3, 0x28, 0xFF] + Array(#""}"#.utf8)),
        ("NUL", Array(#"{"event": "#.utf8) + [0, 0, 0]),
        ("event of wrong type", Array(#"{"event": {"a": 1}}"#.utf8)),
        ("id of wrong type", Array(#"{"return": {}, "id": [1]}"#.utf8)),
        ("timestamp of wrong type", Array(#"{"event": "STOP", "timestamp": 7}"#.utf8)),
        ("timestamp out of range", Array(#"{"event": "A", "timestamp": {"seconds": 1e300, "microseconds": 0}}"#.utf8)),
        ("error of wrong type", Array(#"{"error": "x", "id": "y"}"#.utf8)),
        ("deep nesting", Array(repeating: UInt8(ascii: "["), count: 100_000)),
        ("deep objects", Array(String(repeating: #"{"a":"#, count: 50_000).utf8)),
    ]

    @Test(arguments: malformed.map(\.0))
    func malformedLineEndsTheConnection(name: String) async throws {
        let line = try #require(Self.malformed.first { $0.0 == name }).1
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        _ = try await monitor.command()
        // What follows a bad line in the same packet is not looked at any more.
        _ = try await monitor.flood(line + Array("\r\n{\"event\": \"LATER\"}\r\n{\"eve".utf8))
        await #expect(throws: QMPError.self) { _ = try await stop.value }
        await monitor.disconnected()
        #expect(monitor.disconnects == ["QEMU sent a line that is no QMP message"])
        #expect(monitor.events.isEmpty)
    }

    /// Extremes that are well-formed.
    @Test(arguments: [
        #"{"event": "A", "timestamp": {"seconds": 9223372036854775807, "microseconds": 9223372036854775807}}"#,
        #"{"event": "A", "timestamp": {"seconds": -1, "microseconds": -1}}"#,
        #"{"event": "A"}"#,
        #"{"event": "A", "data": [[[]]], "id": "x", "return": null}"#,
    ])
    func strangeEventIsAnEvent(line: String) async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        let command = try await monitor.command()
        try monitor.send(line)
        try monitor.reply(to: command)
        _ = try await stop.value
        #expect(monitor.events == ["A"])
    }

    @Test func endlessLine() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        _ = try await monitor.command()
        let endless = [UInt8](repeating: UInt8(ascii: " "), count: 4 * QMPClient.maximumLine)
        // The client has gone long before all of it has been read.
        let isSent = Task { try await monitor.flood(endless) }
        await #expect(throws: QMPError.self) { _ = try await stop.value }
        await monitor.disconnected()
        #expect(monitor.disconnects == ["QEMU sent a line of more than \(QMPClient.maximumLine) bytes"])
        monitor.close()
        _ = try await isSent.value
    }

    /// Before the first reply broken lines are expected, endless ones are not.
    @Test func endlessLineBeforeTheFirstReply() async throws {
        let monitor = try FakeMonitor()
        let negotiation = Task { try await monitor.client.negotiate(deadline: Self.deadline) }
        let isSent = Task {
            try await monitor.flood([UInt8](repeating: UInt8(ascii: "x"), count: 2 * QMPClient.maximumLine))
        }
        await #expect(throws: QMPError.self) { try await negotiation.value }
        await monitor.disconnected()
        #expect(monitor.disconnects.count == 1)
        monitor.close()
        _ = try await isSent.value
    }

    @Test func longestLine() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        let command = try await monitor.command()
        let text = #"{"return": {"status": "running", "running": true}, "id": "\#(command.id)"}"#
        let padding = [UInt8](repeating: UInt8(ascii: " "), count: QMPClient.maximumLine - text.utf8.count)
        #expect(try await monitor.flood(padding + Array(text.utf8) + [0x0A]))
        #expect(try await status.value.running)
    }

    /// What else runs on the loop has its turn while events pour in.
    @Test func floodOfEvents() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let count = 20_000
        let bytes = (0..<count).flatMap { _ in Array("{\"event\": \"FLOOD\"}\r\n".utf8) }
        let isSent = Task { try await monitor.flood(bytes) }
        await monitor.firstEvent()
        // Queued behind what reads, and before the flood's end.
        let (counts, source) = AsyncStream.makeStream(of: Int.self)
        let timer = monitor.loop.after(.zero) { source.yield(monitor.events.count) }
        defer { timer.cancel() }
        let seen = await counts.first { _ in true }
        #expect(try #require(seen) < count / 2)
        #expect(try await isSent.value)
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        try monitor.reply(to: try await monitor.command())
        _ = try await stop.value
        #expect(monitor.events.count == count)
    }
}
