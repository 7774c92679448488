import FoundationEssentials
import Linux

/// A client of one QEMU's monitor, over one end of a socket pair.
///
/// QEMU is not trusted: a line longer than `maximumLine`, or one that is no JSON object, ends the connection. What QEMU
/// sends faster than it can be read is left in the socket, so that neither memory nor the loop's time goes to it without
/// bound. When the connection ends every waiting command fails and `onDisconnect` is called once.
public actor QMPClient {
    /// The longest line that is read, in bytes. QEMU's schema, the longest known, has about 250 kB. A line takes up to
    /// 48 times its length while it is read.
    public static let maximumLine = 1 << 20
    /// CPU time that reading lines may take before everything else on the loop has its turn.
    private static let turn = Duration.milliseconds(10)
    /// How many times as long as it has read the client rests, where QEMU does not leave that time by itself.
    private static let rest = 4

    private nonisolated let loop: EventLoop
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private struct Waiting {
        let continuation: CheckedContinuation<[UInt8], any Error>
        let timer: Timer
        let command: String
    }

    private struct Expectation {
        let matches: (QMPEvent) -> Bool
        let fulfil: (Result<QMPEvent, any Error>) -> Void
    }

    private let socket: Descriptor
    /// Replies to a client that used this socket before must not be taken for ours.
    private let prefix: String
    private let onEvent: @Sendable (QMPEvent) -> Void
    private let onDisconnect: @Sendable (String) -> Void
    private var watch: ReadWatch?
    private var restTimer: Timer?
    /// CPU time of reading that no rest has made up for yet, as of `spentAt`.
    private var spent = Duration.zero
    private var spentAt = ContinuousClock.now
    private var buffer: [UInt8] = []
    private var scanned = 0
    private var issued = 0
    private var waiting: [String: Waiting] = [:]
    private var expectations: [Int: Expectation] = [:]
    private var ended: String?
    /// Before the first reply, what comes may be for the client before this one, and begin in the middle of a line.
    private var isSynchronized = false

    /// - Parameters:
    ///   - onEvent: called on `loop`, in the order of arrival.
    ///   - onDisconnect: called on `loop` with the reason.
    public init(
        socket: Descriptor,
        loop: EventLoop,
        onEvent: @escaping @Sendable (QMPEvent) -> Void = { _ in },
        onDisconnect: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.socket = socket
        self.loop = loop
        self.onEvent = onEvent
        self.onDisconnect = onDisconnect
        prefix = String(UInt64.random(in: .min ... .max), radix: 36)
    }

    /// Begins to talk: to a QEMU that has just started, or to one that another client has left at any point.
    public func negotiate(deadline: Duration) async throws {
        listen()
        do {
            _ = try await execute(NegotiateCapabilities(), resynchronizing: true, deadline: deadline)
        } catch QMPError.refused(_, let description) where description.contains("negotiation is already complete") {
            return
        }
    }

    /// Sends a command and returns QEMU's reply. `descriptor` goes along, for `getfd` and the like.
    @discardableResult
    public func execute<Command: QMPCommand>(
        _ command: Command,
        passing descriptor: Descriptor? = nil,
        deadline: Duration
    ) async throws -> Command.Reply {
        try await execute(command, passing: descriptor, resynchronizing: false, deadline: deadline)
    }

    /// Sends a command and returns the first event that matches after it was sent.
    public func execute<Command: QMPCommand>(
        _ command: Command,
        awaiting matches: @escaping @Sendable (QMPEvent) -> Bool,
        deadline: Duration
    ) async throws -> QMPEvent {
        let event = try await execute(command, awaiting: matches, unless: { _ in false }, deadline: deadline)
        if let event { return event }
        throw QMPError.disconnected(command: Command.name, reason: ended ?? "the command was cancelled")
    }

    /// Sends a command and returns the first event that matches after it was sent; nil where the reply says that there
    /// is none to wait for.
    public func execute<Command: QMPCommand>(
        _ command: Command,
        awaiting matches: @escaping @Sendable (QMPEvent) -> Bool,
        unless isOver: (Command.Reply) -> Bool,
        deadline: Duration
    ) async throws -> QMPEvent? {
        let key = issued
        let (events, source) = AsyncThrowingStream.makeStream(of: QMPEvent.self)
        expectations[key] = Expectation(matches: matches) { result in
            source.yield(with: result.map { $0 })
            source.finish()
        }
        defer { expectations[key] = nil }
        let end = ContinuousClock.now + deadline
        if isOver(try await execute(command, deadline: deadline)) { return nil }
        let timer = loop.after(max(.zero, end - .now)) { [weak self] in
            self?.assumeIsolated { $0.fulfil(key, .failure(QMPError.timedOut(command: Command.name, after: deadline))) }
        }
        defer { timer.cancel() }
        for try await event in events { return event }
        throw QMPError.disconnected(command: Command.name, reason: ended ?? "the command was cancelled")
    }

    /// Ends the connection; waiting commands fail.
    public func close() { disconnect("the connection was closed", notify: false) }

    private func execute<Command: QMPCommand>(
        _ command: Command,
        passing descriptor: Descriptor? = nil,
        resynchronizing: Bool,
        deadline: Duration
    ) async throws -> Command.Reply {
        if let ended { throw QMPError.disconnected(command: Command.name, reason: ended) }
        issued += 1
        // QEMU reads its monitor byte by byte, with a turn of its main loop for each.
        let id = isSynchronized ? "\(issued)" : "\(prefix)-\(issued)"
        let arguments = Command.Arguments.self == Empty.self ? nil : command.arguments
        var bytes = try [UInt8](JSONEncoder().encode(Request(execute: Command.name, arguments: arguments, id: id)))
        bytes.append(UInt8(ascii: "\n"))
        // A byte that no JSON text has makes QEMU's parser drop what it may hold of an unfinished command.
        if resynchronizing { bytes.insert(0xFF, at: 0) }

        let line: [UInt8] = try await withCheckedThrowingContinuation { continuation in
            let timer = loop.after(deadline) { [weak self] in self?.assumeIsolated { $0.expire(id, deadline) } }
            waiting[id] = Waiting(continuation: continuation, timer: timer, command: Command.name)
            send(bytes, passing: descriptor)
        }
        do {
            return try JSONDecoder().decode(Response<Command.Reply>.self, from: Data(line)).return
        } catch {
            throw QMPError.malformed(command: Command.name, detail: ForeignText.printable("\(error)"))
        }
    }

    private func send(_ bytes: [UInt8], passing descriptor: Descriptor?) {
        do {
            let sent = try UnixSocket.send(bytes[...], attaching: descriptor.map { [$0] } ?? [], to: socket)
            // Commands are far smaller than a socket's buffer: QEMU has stopped reading long ago.
            if sent < bytes.count { disconnect("QEMU does not read its monitor", notify: true) }
        } catch {
            disconnect("\(error)", notify: true)
        }
    }

    private func expire(_ id: String, _ deadline: Duration) {
        guard let entry = waiting.removeValue(forKey: id) else { return }
        entry.continuation.resume(throwing: QMPError.timedOut(command: entry.command, after: deadline))
    }

    private func listen() {
        watch = loop.whenReadable(socket) { [weak self] in self?.assumeIsolated { $0.readable() } }
    }

    /// One piece at a time: everything else on the loop has its turn between, however much QEMU sends.
    private func readable() {
        if ended != nil { return }
        let begin = ThreadTime.now
        do {
            switch try UnixSocket.receive(from: socket) {
            case .nothingYet: return
            case .endOfStream: disconnect("QEMU closed its monitor", notify: true)
            case .bytes(let bytes, _):
                buffer += bytes
                readLines(since: begin)
            }
        } catch {
            disconnect("\(error)", notify: true)
        }
    }

    /// - Parameter begin: when this thread began with it, in its CPU time.
    private func readLines(since begin: Duration) {
        let now = ContinuousClock.now
        spent = max(.zero, spent - (now - spentAt) / (QMPClient.rest + 1))
        spentAt = now
        var start = 0
        var isScanned = false
        while ended == nil, !isScanned, spent + (ThreadTime.now - begin) < QMPClient.turn {
            if let end = buffer[max(start, scanned)...].firstIndex(of: UInt8(ascii: "\n")) {
                handle(Array(buffer[start..<end]))
                start = end + 1
                scanned = start
            } else {
                isScanned = true
            }
        }
        // The connection's end has emptied it.
        if ended != nil { return }
        buffer.removeFirst(start)
        scanned = isScanned ? buffer.count : 0
        if isScanned, buffer.count > QMPClient.maximumLine {
            return disconnect("QEMU sent a line of more than \(QMPClient.maximumLine) bytes", notify: true)
        }
        spent += ThreadTime.now - begin
        if spent >= QMPClient.turn { rest() }
    }

    private func rest() {
        watch = nil
        restTimer = loop.after(spent * QMPClient.rest) { [weak self] in self?.assumeIsolated { $0.goOn() } }
    }

    private func goOn() {
        restTimer = nil
        if ended != nil { return }
        (spent, spentAt) = (.zero, .now)
        readLines(since: ThreadTime.now)
        if ended == nil, restTimer == nil { listen() }
    }

    private func handle(_ line: [UInt8]) {
        guard let header = try? JSONDecoder().decode(Header.self, from: Data(line)) else {
            if isSynchronized { disconnect("QEMU sent a line that is no QMP message", notify: true) }
            return
        }
        if let event = QMPEvent(header, line: line) {
            if let key = expectations.first(where: { $0.value.matches(event) })?.key { fulfil(key, .success(event)) }
            onEvent(event)
            return
        }
        guard let id = header.id, let entry = waiting.removeValue(forKey: id) else { return }
        isSynchronized = true
        entry.timer.cancel()
        if let error = header.error {
            let words = error.desc.description
            entry.continuation.resume(throwing: QMPError.refused(command: entry.command, description: words))
        } else {
            entry.continuation.resume(returning: line)
        }
    }

    private func fulfil(_ key: Int, _ result: Result<QMPEvent, any Error>) {
        expectations.removeValue(forKey: key)?.fulfil(result)
    }

    private func disconnect(_ reason: String, notify: Bool) {
        if ended != nil { return }
        ended = reason
        watch?.cancel()
        watch = nil
        restTimer = nil
        buffer = []
        let failed = waiting
        waiting = [:]
        for entry in failed.values {
            entry.timer.cancel()
            entry.continuation.resume(throwing: QMPError.disconnected(command: entry.command, reason: reason))
        }
        for key in expectations.keys {
            fulfil(key, .failure(QMPError.disconnected(command: "an event", reason: reason)))
        }
        if notify { onDisconnect(reason) }
    }
}
