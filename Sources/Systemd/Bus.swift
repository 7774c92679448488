import CSystemd
import Glibc
import Linux

/// The manager refused a call, or could not be reached.
public struct ManagerError: Error, CustomStringConvertible {
    public let call: String
    public let reason: String

    public var description: String { "systemd refused \(call): \(reason)" }

    init(_ call: String, _ reason: String) {
        self.call = call
        self.reason = reason
    }

    init(_ call: String, code: Int32) { self.init(call, String(cString: strerror(abs(code)))) }
}

/// A connection to the manager, to machined or to polkit. Blocks; not for use on an event loop.
final class Bus {
    static let manager = "/org/freedesktop/systemd1"

    enum Peer: String {
        /// Over its private socket, which works without a bus daemon and during shutdown; where only root may, over the bus.
        case manager = "org.freedesktop.systemd1"
        /// Over the system bus, which starts it where it does not run.
        case machined = "org.freedesktop.machine1"
        case polkit = "org.freedesktop.PolicyKit1"
    }

    private let bus: OpaquePointer
    private let peer: Peer

    init(_ peer: Peer = .manager) throws(ManagerError) {
        self.peer = peer
        var made: OpaquePointer?
        let socket = Locations.current.managerSocket
        guard peer == .manager, let socket else {
            let result = sd_bus_open_system(&made)
            guard result >= 0, let made else { throw ManagerError("connection", code: result) }
            bus = made
            return
        }
        var result = sd_bus_new(&made)
        guard result >= 0, let made else { throw ManagerError("connection", code: result) }
        bus = made
        // Escaped, since the path of a user's may hold anything.
        let path = socket.utf8.map { byte -> String in
            let isPlain = (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a) || (0x2d...0x39).contains(byte) || byte == 0x5f
            return isPlain
                ? String(UnicodeScalar(byte)) : "%" + String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        result = sd_bus_set_address(bus, "unix:path=\(path.joined())")
        if result >= 0 { result = sd_bus_start(bus) }
        if result < 0 { throw ManagerError("connection", code: result) }
    }

    deinit { sd_bus_close_unref(bus) }

    var descriptor: Int32 { sd_bus_get_fd(bus) }

    private func request(
        _ path: String,
        _ interface: String,
        _ member: String,
        _ append: (BusMessage) -> Void
    ) throws(ManagerError) -> BusMessage {
        var made: OpaquePointer?
        let result = sd_bus_message_new_method_call(bus, &made, peer.rawValue, path, interface, member)
        guard result >= 0, let made else { throw ManagerError(member, code: result) }
        let request = BusMessage(owning: made)
        append(request)
        if request.failure < 0 { throw ManagerError(member, code: request.failure) }
        return request
    }

    /// Calls a method and returns its reply.
    func call(
        _ path: String,
        _ interface: String,
        _ member: String,
        deadline: Duration,
        _ append: (BusMessage) -> Void = { _ in }
    ) throws(ManagerError) -> BusMessage {
        let request = try request(path, interface, member, append)
        var error = sd_bus_error()
        defer { sd_bus_error_free(&error) }
        var reply: OpaquePointer?
        let called = sd_bus_call(bus, request.pointer, UInt64(deadline.microseconds), &error, &reply)
        guard called >= 0, let reply else {
            if let text = error.message { throw ManagerError(member, String(cString: text)) }
            throw ManagerError(member, code: called)
        }
        return BusMessage(owning: reply)
    }

    /// Calls a method and does not wait for the reply.
    /// - Returns: what the reply will name.
    func send(
        _ path: String,
        _ interface: String,
        _ member: String,
        _ append: (BusMessage) -> Void
    ) throws(ManagerError) -> UInt64 {
        let request = try request(path, interface, member, append)
        var cookie: UInt64 = 0
        let sent = sd_bus_send(bus, request.pointer, &cookie)
        if sent < 0 { throw ManagerError(member, code: sent) }
        return cookie
    }

    /// The reply to a call that was sent; nil where the deadline has passed, or the other end of `socket` has been closed.
    func reply(
        to cookie: UInt64,
        before deadline: ContinuousClock.Instant,
        until socket: Descriptor
    ) throws(ManagerError) -> BusMessage? {
        while true {
            var received: OpaquePointer?
            let result = sd_bus_process(bus, &received)
            if result < 0 { throw ManagerError("connection", code: result) }
            if let received {
                let message = BusMessage(owning: received)
                if message.replies(to: cookie) { return message }
            }
            if result > 0 { continue }
            let left = deadline - .now
            let events = sd_bus_get_events(bus)
            if events < 0 { throw ManagerError("connection", code: events) }
            var entries = [
                pollfd(fd: descriptor, events: Int16(events), revents: 0),
                pollfd(fd: socket.raw, events: 0, revents: 0),
            ]
            let ready = poll(&entries, 2, Int32(clamping: max(.zero, left).nanoseconds / 1_000_000 + 1))
            if ready < 0 && errno != EINTR { throw ManagerError("connection", code: errno) }
            if entries[1].revents != 0 || left <= .zero { return nil }
        }
    }

    /// Returns once all that was sent has left this process. Blocks.
    func flush() { _ = sd_bus_flush(bus) }

    /// A property's value, entered so that it can be read.
    func property(
        _ path: String,
        _ interface: String,
        _ name: String,
        type: String,
        deadline: Duration
    ) throws(ManagerError) -> BusMessage {
        let reply = try call(path, "org.freedesktop.DBus.Properties", "Get", deadline: deadline) { request in
            request.append(interface)
            request.append(name)
        }
        guard reply.enter("v", type) else { throw ManagerError("Get \(name)", "unexpected reply") }
        return reply
    }

    /// The next message that is no reply, waiting at most until the deadline; nil when it has passed.
    func nextMessage(before deadline: ContinuousClock.Instant) throws(ManagerError) -> BusMessage? {
        while true {
            var message: OpaquePointer?
            let result = sd_bus_process(bus, &message)
            if result < 0 { throw ManagerError("connection", code: result) }
            if let message { return BusMessage(owning: message) }
            if result > 0 { continue }
            let left = deadline - .now
            if left <= .zero { return nil }
            let waited = sd_bus_wait(bus, UInt64(left.microseconds))
            if waited < 0 && waited != -EINTR { throw ManagerError("connection", code: waited) }
        }
    }
}

/// A message being written or read.
final class BusMessage {
    let pointer: OpaquePointer
    /// The first failure while appending, negative errno; 0 where there was none.
    private(set) var failure: Int32 = 0

    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { sd_bus_message_unref(pointer) }

    private func note(_ result: Int32) { if result < 0 && failure == 0 { failure = result } }

    func append(_ text: String) { note(text.withCString { sd_bus_message_append_basic(pointer, code("s"), $0) }) }

    func append(_ value: UInt32) {
        note(withUnsafePointer(to: value) { sd_bus_message_append_basic(pointer, code("u"), $0) })
    }

    func append(_ value: UInt64) {
        note(withUnsafePointer(to: value) { sd_bus_message_append_basic(pointer, code("t"), $0) })
    }

    func append(_ value: Int32) {
        note(withUnsafePointer(to: value) { sd_bus_message_append_basic(pointer, code("i"), $0) })
    }

    /// The receiver gets a duplicate.
    func append(_ descriptor: Descriptor) {
        note(withUnsafePointer(to: descriptor.raw) { sd_bus_message_append_basic(pointer, code("h"), $0) })
    }

    func container(_ kind: Character, _ contents: String, _ body: () -> Void) {
        note(sd_bus_message_open_container(pointer, code(kind), contents))
        body()
        note(sd_bus_message_close_container(pointer))
    }

    /// One element of an `a{sv}`.
    func entry(_ name: String, type: String, _ body: () -> Void) {
        container("e", "sv") {
            append(name)
            container("v", type, body)
        }
    }

    /// One element of an `a(sv)`.
    func property(_ name: String, type: String, _ body: () -> Void) {
        container("r", "sv") {
            append(name)
            container("v", type, body)
        }
    }

    func enter(_ kind: Character, _ contents: String) -> Bool {
        sd_bus_message_enter_container(pointer, code(kind), contents) > 0
    }

    func leave() { _ = sd_bus_message_exit_container(pointer) }

    /// A string, object path or signature; nil at the end of the container or where another type stands.
    func text(_ kind: Character = "s") -> String? {
        var value: UnsafePointer<CChar>?
        guard sd_bus_message_read_basic(pointer, code(kind), &value) > 0, let value else { return nil }
        return String(cString: value)
    }

    func number() -> UInt32? {
        var value: UInt32 = 0
        return sd_bus_message_read_basic(pointer, code("u"), &value) > 0 ? value : nil
    }

    func boolean() -> Bool? {
        var value: Int32 = 0
        return sd_bus_message_read_basic(pointer, code("b"), &value) > 0 ? value != 0 : nil
    }

    func isSignal(_ interface: String, _ member: String) -> Bool {
        sd_bus_message_is_signal(pointer, interface, member) > 0
    }

    func replies(to cookie: UInt64) -> Bool {
        var named: UInt64 = 0
        return sd_bus_message_get_reply_cookie(pointer, &named) >= 0 && named == cookie
    }

    /// The name and the text of an error.
    var error: (name: String, text: String)? {
        guard sd_bus_message_is_method_error(pointer, nil) > 0, let error = sd_bus_message_get_error(pointer) else {
            return nil
        }
        func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }
        return (text(error.pointee.name), text(error.pointee.message))
    }

    private func code(_ kind: Character) -> CChar { CChar(kind.asciiValue ?? 0) }
}
