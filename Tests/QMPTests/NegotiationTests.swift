import Linux
import Testing

@testable import QMP

struct NegotiationTests {
    @Test func freshMonitor() async throws {
        let monitor = try FakeMonitor()
        let negotiation = Task { try await monitor.client.negotiate(deadline: FakeMonitor.deadline) }
        try monitor.send(
            #"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}"#
        )
        let command = try await monitor.command()
        #expect(command.name == "qmp_capabilities")
        try monitor.reply(to: command)
        try await negotiation.value
    }

    /// Another client has negotiated before: QEMU greets nobody twice.
    @Test func negotiatedMonitor() async throws {
        let monitor = try FakeMonitor()
        let negotiation = Task { try await monitor.client.negotiate(deadline: FakeMonitor.deadline) }
        let command = try await monitor.command()
        try monitor.send(
            #"{"id": "\#(command.id)", "error": {"class": "CommandNotFound", "#
                + #""desc": "Capabilities negotiation is already complete, command ignored"}}"#
        )
        try await negotiation.value
    }

    /// The client before was killed in the middle of a command and of a reply.
    @Test func midway() async throws {
        let monitor = try FakeMonitor()
        try monitor.send(#"ing", "running": true}, "id": "abc-7"}"#)
        try monitor.send(#"{"return": {}, "id": "abc-8"}"#)
        try monitor.send(#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#)
        let negotiation = Task { try await monitor.client.negotiate(deadline: FakeMonitor.deadline) }
        let command = try await monitor.command()
        // QEMU drops what it holds of an unfinished command at a byte that no JSON text has.
        #expect(command.line.first == 0xFF)
        try monitor.send(#"{"error": {"class": "GenericError", "desc": "JSON parse error, invalid character"}}"#)
        try monitor.reply(to: command)
        try await negotiation.value
        #expect(monitor.events == ["STOP"])
        #expect(monitor.disconnects.isEmpty)
    }

    /// Replies to a client before this one must not be taken for ours, however similar.
    @Test func identifiersDiffer() async throws {
        var found: Set<String> = []
        for _ in 0..<8 {
            let monitor = try FakeMonitor()
            let negotiation = Task { try await monitor.client.negotiate(deadline: FakeMonitor.deadline) }
            let command = try await monitor.command()
            found.insert(command.id)
            try monitor.reply(to: command)
            try await negotiation.value
        }
        #expect(found.count == 8)
    }

    @Test func refused() async throws {
        let monitor = try FakeMonitor()
        let negotiation = Task { try await monitor.client.negotiate(deadline: FakeMonitor.deadline) }
        let command = try await monitor.command()
        try monitor.send(#"{"id": "\#(command.id)", "error": {"class": "GenericError", "desc": "no"}}"#)
        await #expect(throws: QMPError.refused(command: "qmp_capabilities", description: "no")) {
            try await negotiation.value
        }
    }

    @Test func silence() async throws {
        let monitor = try FakeMonitor()
        let deadline = Duration.milliseconds(30)
        await #expect(throws: QMPError.timedOut(command: "qmp_capabilities", after: deadline)) {
            try await monitor.client.negotiate(deadline: deadline)
        }
    }
}
