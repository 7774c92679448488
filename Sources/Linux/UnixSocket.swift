import CLinux
import Glibc

/// Stream sockets in the AF_UNIX domain. All are close-on-exec.
public enum UnixSocket {
    /// Two connected ends.
    public static func pair() throws(SystemCallError) -> (Descriptor, Descriptor) {
        var ends: [Int32] = [-1, -1]
        try check("socketpair", on: "AF_UNIX") { clinux_unix_pair(&ends) }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }

    /// A non-blocking listener at `path` with the permissions `mode`; what was at the path before is replaced.
    /// - Parameter group: the group of the socket; this process's own where it is nil.
    public static func listen(_ path: String, mode: Int32, group: UInt32? = nil) throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("listen", on: path) { clinux_unix_listen(path, mode, group ?? ~0) })
    }

    /// - Parameter deadline: how long a listener may keep others waiting before this fails with EAGAIN; nil for ever.
    public static func connect(_ path: String, deadline: Duration? = nil) throws(SystemCallError) -> Descriptor {
        let milliseconds = milliseconds(deadline)
        return Descriptor(owning: try check("connect", on: path) { clinux_unix_connect(path, milliseconds) })
    }

    /// To a listener for messages: each is received as it was sent.
    public static func connectMessages(_ path: String, deadline: Duration) throws(SystemCallError) -> Descriptor {
        let milliseconds = milliseconds(deadline)
        return Descriptor(owning: try check("connect", on: path) { clinux_unix_connect_messages(path, milliseconds) })
    }

    private static func milliseconds(_ deadline: Duration?) -> Int32 {
        deadline.map { Int32(clamping: max(1, $0.nanoseconds / 1_000_000)) } ?? 0
    }

    /// What one message can have attached.
    public static let mostDescriptors = Int(CLINUX_MOST_DESCRIPTORS)

    /// The next connection, non-blocking; nil where none waits.
    public static func accept(_ listener: Descriptor) throws(SystemCallError) -> Descriptor? {
        let accepted = clinux_accept(listener.raw)
        if accepted >= 0 { return Descriptor(owning: accepted) }
        if errno == EAGAIN || errno == ECONNABORTED || errno == EINTR { return nil }
        throw SystemCallError("accept", on: "fd \(listener.raw)")
    }

    /// Who has connected, as it was then.
    public static func peer(_ socket: Descriptor) throws(SystemCallError) -> (pid: Int32, user: UInt32) {
        var (pid, uid): (pid_t, uid_t) = (0, 0)
        try check("SO_PEERCRED", on: "fd \(socket.raw)") { clinux_peer(socket.raw, &pid, &uid) }
        return (pid, uid)
    }

    public static func peerUser(_ socket: Descriptor) throws(SystemCallError) -> UInt32 { try peer(socket).user }

    /// Sends what fits without blocking and returns how many bytes went; `attached` goes with the first.
    public static func send(
        _ bytes: ArraySlice<UInt8>,
        attaching attached: [Descriptor] = [],
        to socket: Descriptor
    ) throws(SystemCallError) -> Int {
        let raw = attached.map(\.raw)
        let sent = bytes.withUnsafeBytes { clinux_send(socket.raw, $0.baseAddress, $0.count, raw, raw.count) }
        if sent >= 0 { return sent }
        if errno == EAGAIN { return 0 }
        throw SystemCallError("sendmsg", on: "fd \(socket.raw)")
    }

    /// Whether it is a stream socket of this domain.
    public static func isStream(_ descriptor: Descriptor) -> Bool {
        func option(_ name: Int32) -> Int32? {
            var (value, size): (Int32, socklen_t) = (0, 4)
            return getsockopt(descriptor.raw, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
        }
        return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == Int32(SOCK_STREAM.rawValue)
    }

    /// Ends the connection for whoever has either end of it.
    public static func shutDown(_ socket: Descriptor) { Glibc.shutdown(socket.raw, Int32(SHUT_RDWR)) }

    public enum Received: Sendable {
        case bytes(ArraySlice<UInt8>, [Descriptor])
        case nothingYet
        case endOfStream
    }

    /// Receives at most `limit` bytes and `attachments` descriptors without blocking.
    public static func receive(
        from socket: Descriptor,
        limit: Int = 65_536,
        attachments: Int = 4
    ) throws(SystemCallError) -> Received {
        var raw = [Int32](repeating: -1, count: attachments)
        var rawCount = raw.count
        var got = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
            got = clinux_receive(socket.raw, buffer.baseAddress, limit, &raw, &rawCount)
            initialized = max(got, 0)
        }
        if got < 0 {
            if errno == EAGAIN { return .nothingYet }
            throw SystemCallError("recvmsg", on: "fd \(socket.raw)")
        }
        let attached = raw.prefix(rawCount).map { Descriptor(owning: $0) }
        return got == 0 ? .endOfStream : .bytes(bytes[...], attached)
    }
}
