import Foundation
import Linux
import Testing

@testable import QMP

/// A peer that does not keep to the protocol of sockets, or of replies.
struct HostilePeerTests {
    private static let deadline = FakeMonitor.deadline

    private func stop(_ monitor: FakeMonitor) -> Task<Empty, any Error> {
        Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
    }

    /// Only one reply has the right id.
    @Test func repliesThatNobodyWaitsFor() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = stop(monitor)
        let command = try await monitor.command()
        for id in ["", "x", "\(command.id)x", "0", String(repeating: "x", count: 10_000)] {
            try monitor.send(#"{"return": {}, "id": "\#(id)"}"#)
            try monitor.send(#"{"error": {"class": "x", "desc": "not yours"}, "id": "\#(id)"}"#)
        }
        try monitor.send(#"{"return": {}}"#)
        try monitor.send(#"{"error": {"class": "x", "desc": "nobody's"}}"#)
        try monitor.reply(to: command)
        _ = try await stop.value
        // Once more, and for a command that has its reply already.
        for _ in 0..<100 { try monitor.reply(to: command) }
        let next = self.stop(monitor)
        try monitor.reply(to: try await monitor.command())
        _ = try await next.value
        #expect(monitor.disconnects.isEmpty)
    }

    /// A peer that says both yes and no is taken at its first word.
    @Test func replyAndErrorAtOnce() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = stop(monitor)
        let command = try await monitor.command()
        try monitor.send(#"{"return": {}, "error": {"desc": "no"}, "id": "\#(command.id)", "id": "\#(command.id)"}"#)
        await #expect(throws: QMPError.refused(command: "stop", description: "no")) { _ = try await stop.value }
    }

    @Test func wordsCannotSteerATerminal() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = stop(monitor)
        let command = try await monitor.command()
        let words = #"\u001b[2Jone\ntwo\u0000\u202e"# + String(repeating: "x", count: 100_000)
        try await #expect(
            monitor.flood(Array(#"{"error": {"desc": "\#(words)"}, "id": "\#(command.id)"}"#.utf8) + [0x0A])
        )
        let shown = "\u{FFFD}[2Jone two\u{FFFD}\u{FFFD}" + String(repeating: "x", count: 500 - 13) + "…"
        await #expect(throws: QMPError.refused(command: "stop", description: shown)) { _ = try await stop.value }
    }

    enum Closing: CaseIterable {
        case writing, reading, both
        var how: Int32 {
            switch self {
            case .writing: Int32(SHUT_WR)
            case .reading: Int32(SHUT_RD)
            case .both: Int32(SHUT_RDWR)
            }
        }
    }

    /// Half of a connection is none.
    @Test(arguments: Closing.allCases)
    func halfClosed(_ closing: Closing) async throws {
        let monitor = try await FakeMonitor.negotiated()
        try monitor.shut(closing.how)
        await #expect(throws: QMPError.self) { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        await monitor.disconnected()
        #expect(monitor.disconnects.count == 1)
        await #expect(throws: QMPError.self) { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
    }

    /// Wherever the peer stops talking, nothing is left waiting.
    @Test func closedAtEveryByte() async throws {
        let transcript = Array("{\"QMP\": {}}\r\n{\"return\": {}, \"id\": \"@\"}\r\n{\"event\": \"STOP\"}\r\n".utf8)
        for count in 0...transcript.count {
            let monitor = try FakeMonitor()
            let talk = Task {
                try await monitor.client.negotiate(deadline: Self.deadline)
                try await monitor.client.execute(Stop(), deadline: Self.deadline)
            }
            let command = try await monitor.command()
            try monitor.send(
                transcript.prefix(count).flatMap { $0 == UInt8(ascii: "@") ? Array(command.id.utf8) : [$0] }
            )
            monitor.close()
            await #expect(throws: QMPError.self) { try await talk.value }
            await monitor.disconnected()
            #expect(monitor.disconnects.count == 1)
        }
    }

    /// Descriptors that nobody asked for are closed.
    @Test func unwantedDescriptors() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let before = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        let file = try MemoryFile.create("unwanted", growth: .allowed)
        for _ in 0..<50 { try monitor.send(Array("{\"event\": \"A\"}\r\n".utf8), attaching: [file, file]) }
        let stop = stop(monitor)
        try monitor.reply(to: try await monitor.command())
        _ = try await stop.value
        #expect(monitor.events.count == 50)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count <= before + 1)
    }
}
