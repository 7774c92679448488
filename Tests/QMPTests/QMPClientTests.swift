import Glibc
import Linux
import Testing

@testable import QMP

struct QMPClientTests {
    private static let deadline = FakeMonitor.deadline

    @Test func reply() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        let command = try await monitor.command()
        #expect(command.name == "query-status")
        try monitor.reply(to: command, #"{"status": "io-error", "running": false, "singlestep": false}"#)
        #expect(try await status.value.status == RunState(rawValue: "io-error"))
    }

    /// QEMU may send anything between a command and its reply, and a reply in pieces.
    @Test func staleRepliesAndEventsBetween() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        let command = try await monitor.command()
        try monitor.send(#"{"return": {"status": "paused", "running": false}, "id": "another-\#(command.id)"}"#)
        try monitor.send(#"{"error": {"class": "GenericError", "desc": "stale"}, "id": "\#(command.id)0"}"#)
        try monitor.send(#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#)
        let text = Array(#"{"return": {"status": "running", "running": true}, "id": "\#(command.id)"}"#.utf8)
        for byte in text { try monitor.send([byte]) }
        try monitor.send([0x0A])
        #expect(try await status.value.status == .running)
        try monitor.send(#"{"timestamp": {"seconds": 1, "microseconds": 3}, "event": "RESUME"}"#)
        let other = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        try monitor.reply(to: try await monitor.command())
        _ = try await other.value
        #expect(monitor.events == ["STOP", "RESUME"])
    }

    @Test func severalAtOnceInAnyOrder() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        let first = try await monitor.command()
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        let second = try await monitor.command()
        try monitor.reply(to: second, #"{"status": "running", "running": true}"#)
        #expect(try await status.value.running)
        try monitor.reply(to: first)
        _ = try await stop.value
    }

    @Test func errors() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        let command = try await monitor.command()
        try monitor.send(
            #"{"error": {"class": "GenericError", "desc": "Näher geht es nicht"}, "id": "\#(command.id)"}"#
        )
        await #expect(throws: QMPError.refused(command: "stop", description: "Näher geht es nicht")) {
            _ = try await stop.value
        }
        #expect(monitor.disconnects.isEmpty)
    }

    /// A reply of another form is that command's failure alone.
    @Test(arguments: [#"{"status": 7, "running": true}"#, "[]", "null", #""x""#, "1e400"])
    func replyOfWrongType(value: String) async throws {
        let monitor = try await FakeMonitor.negotiated()
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        try monitor.reply(to: try await monitor.command(), value)
        let error = await #expect(throws: (any Error).self) { _ = try await status.value }
        switch error as? QMPError {
        case .malformed(command: "query-status", _): #expect(monitor.disconnects.isEmpty)
        // Text that is no JSON at all.
        case .disconnected: #expect(value == "1e400")
        default: Issue.record("\(String(describing: error))")
        }
    }

    @Test func deadlinePasses() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let deadline = Duration.milliseconds(30)
        await #expect(throws: QMPError.timedOut(command: "stop", after: deadline)) {
            try await monitor.client.execute(Stop(), deadline: deadline)
        }
        // The reply comes all the same, and is nobody's.
        try monitor.reply(to: try await monitor.command())
        let status = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        try monitor.reply(to: try await monitor.command(), #"{"status": "paused", "running": false}"#)
        #expect(try await status.value.status == .paused)
    }

    @Test(arguments: [true, false])
    func awaitsAnEvent(isFirst: Bool) async throws {
        let monitor = try await FakeMonitor.negotiated()
        let awaited = Task {
            try await monitor.client.execute(
                Migrate(uri: "fd:x"),
                awaiting: { MigrationStatus(event: $0)?.isFinal == true },
                deadline: Self.deadline
            )
        }
        let command = try await monitor.command()
        #expect(command.arguments == ["uri": "fd:x"])
        func event(_ status: String) -> String {
            #"{"timestamp": {"seconds": 3, "microseconds": 4}, "event": "MIGRATION", "data": {"status": "\#(status)"}}"#
        }
        try monitor.send(event("setup"))
        if isFirst { try monitor.send(event("completed")) }
        try monitor.reply(to: command)
        if !isFirst { try monitor.send(event("completed")) }
        let found = try await awaited.value
        #expect(MigrationStatus(event: found) == .completed)
        #expect(found.timestamp == 3_000_004)
        #expect(monitor.events.count == 2)
    }

    @Test func noEventComes() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let deadline = Duration.milliseconds(60)
        let awaited = Task { try await monitor.client.execute(Stop(), awaiting: { _ in true }, deadline: deadline) }
        try monitor.reply(to: try await monitor.command())
        await #expect(throws: QMPError.timedOut(command: "stop", after: deadline)) { _ = try await awaited.value }
    }

    @Test func commandOfAwaitedEventIsRefused() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let awaited = Task {
            try await monitor.client.execute(Stop(), awaiting: { _ in true }, deadline: Self.deadline)
        }
        let command = try await monitor.command()
        try monitor.send(#"{"error": {"class": "GenericError", "desc": "no"}, "id": "\#(command.id)"}"#)
        await #expect(throws: QMPError.refused(command: "stop", description: "no")) { _ = try await awaited.value }
    }

    @Test func disconnectFailsAllThatWait() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let first = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        _ = try await monitor.command()
        let second = Task {
            try await monitor.client.execute(Continue(), awaiting: { _ in true }, deadline: Self.deadline)
        }
        let command = try await monitor.command()
        let third = Task { try await monitor.client.execute(QueryStatus(), deadline: Self.deadline) }
        _ = try await monitor.command()
        try monitor.reply(to: command)
        monitor.close()
        let reason = "QEMU closed its monitor"
        await #expect(throws: QMPError.disconnected(command: "stop", reason: reason)) { _ = try await first.value }
        await #expect(throws: QMPError.self) { _ = try await second.value }
        await #expect(throws: QMPError.disconnected(command: "query-status", reason: reason)) {
            _ = try await third.value
        }
        await monitor.disconnected()
        await #expect(throws: QMPError.disconnected(command: "stop", reason: reason)) {
            try await monitor.client.execute(Stop(), deadline: Self.deadline)
        }
        await monitor.client.close()
        #expect(monitor.disconnects == [reason])
    }

    /// Whoever closes the connection knows it.
    @Test func closingIsNotReported() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let stop = Task { try await monitor.client.execute(Stop(), deadline: Self.deadline) }
        _ = try await monitor.command()
        await monitor.client.close()
        await #expect(throws: QMPError.disconnected(command: "stop", reason: "the connection was closed")) {
            _ = try await stop.value
        }
        #expect(monitor.disconnects.isEmpty)
    }

    @Test func descriptorGoesAlong() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let file = try MemoryFile.create("passed", size: 4096, growth: .fixed)
        let added = Task {
            try await monitor.client.execute(AddDescriptor(set: 3), passing: file, deadline: Self.deadline)
        }
        let command = try await monitor.command()
        #expect(command.arguments == ["fdset-id": "3"])
        #expect(try command.descriptors.map { try $0.identity() } == [file.identity()])
        #expect(command.descriptors.first?.raw != file.raw)
        try monitor.reply(to: command)
        _ = try await added.value
    }

    /// A QEMU that does not read must not make the supervisor wait.
    @Test func peerDoesNotRead() async throws {
        let monitor = try await FakeMonitor.negotiated()
        let name = String(repeating: "x", count: 100_000)
        var failure: (any Error)?
        var sent = 0
        while failure == nil, sent < 1_000 {
            sent += 1
            do {
                try await monitor.client.execute(GetDescriptor(name: name), deadline: .milliseconds(1))
            } catch QMPError.timedOut {
                continue
            } catch { failure = error }
        }
        #expect(failure as? QMPError == .disconnected(command: "getfd", reason: "QEMU does not read its monitor"))
        await monitor.disconnected()
        #expect(monitor.disconnects.count == 1)
    }
}
