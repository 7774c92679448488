import Dispatch
import Foundation
import Linux
import QMP
import Synchronization

/// The other end of a client's connection: plays QEMU's monitor from a transcript.
final class FakeMonitor: Sendable {
    static let deadline = Duration.seconds(20)

    struct Command {
        let name: String
        let id: String
        let arguments: [String: String]
        let line: [UInt8]
        let descriptors: [Descriptor]
    }

    struct Ended: Error {}

    /// What the client has reported, in its order.
    struct Log {
        var events: [String] = []
        var disconnects: [String] = []
        /// How many events came before something else had its turn on the loop.
        var eventsBeforeNextTurn: Int?
        var turn: Linux.Timer?
    }

    let loop: EventLoop
    let client: QMPClient
    let log: Reported
    private let socket: Mutex<Descriptor?>
    private let received = Mutex<[UInt8]>([])

    final class Reported: Sendable {
        let log = Mutex(Log())
        let (disconnectStream, disconnect) = AsyncStream<Void>.makeStream()
    }

    init() throws {
        let (ours, theirs) = try UnixSocket.pair()
        let reported = Reported()
        let loop = EventLoop(label: "qmp-test")
        self.loop = loop
        log = reported
        socket = Mutex(theirs)
        client = QMPClient(
            socket: ours,
            loop: loop,
            onEvent: { event in
                let isFirst = reported.log.withLock { log in
                    log.events.append(event.name)
                    return log.events.count == 1
                }
                guard isFirst else { return }
                let turn = loop.after(.zero) {
                    reported.log.withLock { $0.eventsBeforeNextTurn = $0.events.count }
                }
                reported.log.withLock { $0.turn = turn }
            },
            onDisconnect: { reason in
                reported.log.withLock { $0.disconnects.append(reason) }
                reported.disconnect.finish()
            }
        )
    }

    /// A monitor whose client has shaken hands.
    static func negotiated() async throws -> FakeMonitor {
        let monitor = try FakeMonitor()
        let negotiation = Task { try await monitor.client.negotiate(deadline: deadline) }
        try monitor.send(#"{"QMP": {"version": {}, "capabilities": []}}"#)
        try monitor.reply(to: try await monitor.command())
        try await negotiation.value
        return monitor
    }

    var events: [String] { log.log.withLock(\.events) }
    var disconnects: [String] { log.log.withLock(\.disconnects) }
    var eventsBeforeNextTurn: Int? { log.log.withLock(\.eventsBeforeNextTurn) }

    /// Returns once the client has told that the connection has ended.
    func disconnected() async { for await _ in log.disconnectStream {} }

    func close() {
        socket.withLock { socket in
            if let socket { _ = shutdown(socket.raw, Int32(SHUT_RDWR)) }
            socket = nil
        }
    }

    private func end() throws -> Descriptor {
        guard let socket = socket.withLock({ $0 }) else { throw Ended() }
        return socket
    }

    func send(_ line: String) throws { try send(Array("\(line)\r\n".utf8)) }

    func send(_ bytes: [UInt8], attaching descriptors: [Descriptor] = []) throws {
        _ = try UnixSocket.send(bytes[...], attaching: descriptors, to: end())
    }

    /// Ends one direction of the connection, or both; the socket stays open.
    func shut(_ how: Int32) throws { _ = shutdown(try end().raw, how) }

    /// Sends more than fits into the socket. False where the client has gone before all was sent.
    func flood(_ bytes: [UInt8]) async throws -> Bool {
        let socket = try end()
        return try await BlockingCalls.run {
            var rest = bytes[...]
            while !rest.isEmpty {
                guard let sent = try? UnixSocket.send(rest, to: socket) else { return false }
                rest = rest.dropFirst(sent)
                var entry = pollfd(fd: socket.raw, events: Int16(POLLOUT), revents: 0)
                guard poll(&entry, 1, 20_000) > 0 else { return false }
            }
            return true
        }
    }

    func reply(to command: Command, _ value: String = "{}") throws {
        try send(#"{"return": \#(value), "id": "\#(command.id)"}"#)
    }

    /// The next line from the client.
    func line() async throws -> (line: [UInt8], descriptors: [Descriptor]) {
        let socket = try end()
        var descriptors: [Descriptor] = []
        while true {
            let line = received.withLock { received -> [UInt8]? in
                guard let end = received.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
                defer { received.removeFirst(end + 1) }
                return Array(received[..<end])
            }
            if let line { return (line, descriptors) }
            switch try UnixSocket.receive(from: socket) {
            case .bytes(let bytes, let attached):
                received.withLock { $0 += bytes }
                descriptors += attached
            case .nothingYet: try await loop.readable(socket, deadline: FakeMonitor.deadline)
            case .endOfStream: throw Ended()
            }
        }
    }

    /// The next command from the client.
    func command() async throws -> Command {
        let (line, descriptors) = try await line()
        let json = line.drop { $0 == 0xFF }
        let message = try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any] ?? [:]
        let arguments = message["arguments"] as? [String: Any] ?? [:]
        return Command(
            name: message["execute"] as? String ?? "",
            id: message["id"] as? String ?? "",
            arguments: arguments.mapValues { "\($0)" },
            line: line,
            descriptors: descriptors
        )
    }
}
