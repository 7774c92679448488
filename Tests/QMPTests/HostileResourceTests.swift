import Foundation
import Linux
import Testing

@testable import QMP

/// What the worst that QEMU can send costs the supervisor.
struct HostileResourceTests {
    /// Bytes by which the process may grow while a line is read.
    private static let mostMemory = 48 * QMPClient.maximumLine

    /// Lines of the greatest length, made of what takes the most memory or time to read. `ID` is that of the command.
    private static let heavyLines: [(name: String, begin: String, piece: String, end: String)] = [
        ("arrays", #"{"id": "ID", "return": "#, "[", ""),
        ("closed arrays", #"{"id": "ID", "return": ["#, "[],", "[]]}"),
        (
            "deep arrays", #"{"id": "ID", "return": ["#,
            String(repeating: "[", count: 300) + String(repeating: "]", count: 300) + ",", "[]]}"
        ),
        ("objects", #"{"id": "ID", "return": ["#, #"{"name":""},"#, #"{"name":""}]}"#),
        ("open objects", #"{"id": "ID", "return": "#, #"{"a":"#, ""),
        ("numbers", #"{"id": "ID", "return": ["#, "0,", "0]}"),
        ("a long number", #"{"id": "ID", "return": "#, "9", "}"),
        ("duplicate keys", #"{"id": "ID", "return": {"#, #""name":1,"#, #""name":1}}"#),
        ("different keys", #"{"id": "ID", "return": {"#, #""a":0,"#, #""a":0}}"#),
        ("escapes", #"{"id": "ID", "return": ["#, #""\u0000","#, #"""]}"#),
        ("a long string", #"{"id": "ID", "return": ""#, #"\n"#, #""}"#),
        ("a long error", #"{"id": "ID", "error": {"desc": ""#, #"\u001b"#, #""}}"#),
        ("a long event", #"{"event": "STOP", "data": ["#, "null,", "null]}"),
        ("invalid UTF-8", #"{"id": "ID", "return": ""#, "\u{FFFF}", #""}"#),
        ("blanks", #"{"id": "ID", "return": "#, " ", "[]}"),
    ]

    @Test(arguments: heavyLines.map(\.name))
    func memoryAndTimeOfALine(name: String) async throws {
        let heavy = try #require(Self.heavyLines.first { $0.name == name })
        let monitor = try await FakeMonitor.negotiated()
        let reply = Task { try await monitor.client.execute(QueryMachines(), deadline: FakeMonitor.deadline) }
        let command = try await monitor.command()
        let begin = Array(heavy.begin.replacing("ID", with: command.id).utf8)
        let piece = Array(heavy.piece.utf8)
        var line = begin
        while line.count + piece.count + heavy.end.utf8.count <= QMPClient.maximumLine { line += piece }
        line += Array(heavy.end.utf8) + [0x0A]

        ResidentMemory.trim()
        try Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
        let before = try Self.kilobytes("VmHWM")
        let clock = ContinuousClock.now
        let monitors = monitor
        let isSent = Task { [line] in try await monitors.flood(line) }
        // Read or refused: both are right.
        _ = try await isSent.value
        if heavy.name == "a long event" { try monitor.reply(to: command, "[]") }
        let result = await reply.result
        let duration = ContinuousClock.now - clock
        let grown = try Self.kilobytes("VmHWM") - before
        #expect(grown << 10 <= Self.mostMemory)
        #expect(duration < .seconds(10))
        if case .failure(let error as QMPError) = result {
            #expect(error.description.unicodeScalars.count < 1000)
            #expect(!error.description.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    enum Flood: CaseIterable {
        case events, unknownReplies, beforeTheFirstReply, longEvents

        var line: String {
            switch self {
            case .events: #"{"event": "A", "timestamp": {"seconds": 1, "microseconds": 2}}"#
            case .unknownReplies: #"{"return": {}, "id": "x"}"#
            case .beforeTheFirstReply: "x"
            case .longEvents: #"{"event": "A", "data": [\#(String(repeating: "[],", count: 100_000))0]}"#
            }
        }
    }

    /// However much is sent, most of the loop's time is left for other things, and nothing piles up.
    @Test(arguments: Flood.allCases)
    func flood(_ flood: Flood) async throws {
        let monitor = flood == .beforeTheFirstReply ? try FakeMonitor() : try await FakeMonitor.negotiated()
        let client = monitor.client
        let talk = Task {
            if flood == .beforeTheFirstReply { return try await client.negotiate(deadline: FakeMonitor.deadline) }
            try await client.execute(Stop(), deadline: FakeMonitor.deadline)
        }
        _ = try await monitor.command()
        let line = Array("\(flood.line)\r\n".utf8)
        let piece = (0..<max(1, 65_536 / line.count)).flatMap { _ in line }
        let isSent = Task { while try await monitor.flood(piece) {} }

        ResidentMemory.trim()
        try Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
        let before = try Self.kilobytes("VmHWM")
        let other = OtherWork(loop: monitor.loop)
        let (begin, used) = (ContinuousClock.now, await other.timeOfLoop())
        // Turns of something else on the loop.
        let turns = 60
        var slowest = Duration.zero
        for _ in 0..<turns {
            let asked = ContinuousClock.now
            _ = await other.timeOfLoop()
            slowest = max(slowest, .now - asked)
            try await Task.sleep(for: .milliseconds(30))
        }
        let share = (await other.timeOfLoop() - used) / (ContinuousClock.now - begin)
        #expect(share < 0.4)
        #expect(slowest < .seconds(1))
        #expect(try Self.kilobytes("VmHWM") - before < Self.mostMemory >> 10)
        #expect(monitor.disconnects.isEmpty)
        monitor.close()
        _ = try? await isSent.value
        _ = try? await talk.value
    }

    private static func kilobytes(_ field: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("\(field):") }
        return try #require(line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
    }
}

/// What else runs on a loop.
private actor OtherWork {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop) { self.loop = loop }

    /// CPU time that the loop's thread has used.
    func timeOfLoop() -> Duration { ThreadTime.now }
}
