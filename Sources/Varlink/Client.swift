import FoundationEssentials
import Glibc
import Linux

/// An error that the service answered with.
public struct VarlinkError: Error, CustomStringConvertible {
    public let name: String
    public let reason: String

    public var description: String { reason.isEmpty ? "the service answered with '\(name)'" : reason }
}

/// A connection to a Varlink service. Blocks; for programs that have nothing else to do meanwhile.
public final class VarlinkClient {
    /// Hung up once the service has ended.
    public let socket: Descriptor
    private var framing = VarlinkFraming()
    private var received: [[UInt8]] = []
    private var descriptors: [Descriptor] = []

    /// How long each message may take; nil to wait for as long as it takes.
    public var deadline: Duration?

    /// - Parameter connectDeadline: how long the service may keep others waiting before it counts as one that does not
    ///   answer; `deadline` where it is nil.
    public init(path: String, deadline: Duration? = nil, connectDeadline: Duration? = nil) throws(SystemCallError) {
        socket = try UnixSocket.connect(path, deadline: connectDeadline ?? deadline)
        self.deadline = deadline
    }

    /// Calls a method; the reply may bring descriptors.
    public func call<Reply: Decodable>(
        _ method: String,
        _ parameters: some Encodable,
        as type: Reply.Type
    ) throws -> (Reply, [Descriptor]) {
        try send(method, parameters)
        return try receive(as: type)
    }

    /// The first half of a call, which does not wait for the answer.
    /// - Parameters:
    ///   - more: as many answers are wanted as there are.
    ///   - attached: descriptors that go with the call.
    public func send(
        _ method: String,
        _ parameters: some Encodable,
        more: Bool = false,
        attaching attached: [Descriptor] = []
    ) throws {
        try send(VarlinkMessage.call(method, parameters, more: more), attaching: attached)
    }

    /// An answer has been received already: the socket need not become readable for it.
    public var hasAnswer: Bool { !received.isEmpty }

    /// The other half.
    public func receive<Reply: Decodable>(as type: Reply.Type) throws -> (Reply, [Descriptor]) {
        let message = try nextMessage()
        let attached = descriptors
        descriptors = []
        let header = try JSONDecoder().decode(VarlinkMessage.ReplyHeader.self, from: Data(message))
        if let name = header.error {
            let reason = try? VarlinkMessage.parameters(message, as: VarlinkMessage.Reason.self).reason
            throw VarlinkError(name: name, reason: reason ?? "")
        }
        return (try VarlinkMessage.parameters(message, as: type), attached)
    }

    private func send(_ bytes: [UInt8], attaching attached: [Descriptor]) throws {
        let end = deadline.map { ContinuousClock.now + $0 }
        var rest = bytes[...]
        while !rest.isEmpty {
            // With the first byte, and only once.
            let isFirst = rest.count == bytes.count
            let sent = try UnixSocket.send(rest, attaching: isFirst ? attached : [], to: socket)
            if sent == 0 { try wait(for: Int16(POLLOUT), until: end) }
            rest = rest.dropFirst(sent)
        }
    }

    private func nextMessage() throws -> [UInt8] {
        let end = deadline.map { ContinuousClock.now + $0 }
        while received.isEmpty {
            switch try UnixSocket.receive(from: socket) {
            case .nothingYet: try wait(for: Int16(POLLIN), until: end)
            case .endOfStream:
                throw VarlinkError(name: "", reason: "the supervisor ended before it had answered")
            case .bytes(let bytes, let attached):
                descriptors += attached
                received += try framing.take(bytes)
            }
        }
        return received.removeFirst()
    }

    private func wait(for events: Int16, until end: ContinuousClock.Instant?) throws {
        var entry = pollfd(fd: socket.raw, events: events, revents: 0)
        let milliseconds = end.map { Int32(clamping: (max(.zero, $0 - .now).nanoseconds + 999_999) / 1_000_000) } ?? -1
        let ready = poll(&entry, 1, milliseconds)
        if ready < 0 && errno != EINTR { throw SystemCallError("poll", on: "control socket") }
        if ready == 0 { throw VarlinkError(name: "", reason: "the supervisor does not answer") }
    }
}
