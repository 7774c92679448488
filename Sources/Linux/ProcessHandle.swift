import CLinux
import Glibc

/// A process that stays the same one even if its number is used again (a pidfd).
public final class ProcessHandle: Sendable {
    public enum End: Equatable, Sendable, CustomStringConvertible {
        case exited(code: Int32)
        case killed(signal: Int32)
        /// It was another process's child, which got the status.
        case unknown

        public var description: String {
            switch self {
            case .exited(let code): "exited with status \(code)"
            case .killed(let signal): "was killed by signal \(signal)"
            case .unknown: "ended"
            }
        }
    }

    public let pid: Int32
    /// Clock ticks after boot, from /proc/PID/stat: with the pid, this names the process once and for all.
    public let startTime: UInt64
    public let descriptor: Descriptor
    /// A connection to the process that is its parent, which says how it has ended (`tellEnd`); nil where that is this
    /// process, or nobody who would say.
    public let keeper: Descriptor?

    /// A process that a trusted one says it has under `descriptor`, a pidfd.
    public init(descriptor: Descriptor, pid: Int32, keeper: Descriptor) throws(SystemCallError) {
        self.pid = pid
        self.descriptor = descriptor
        self.keeper = keeper
        startTime = try ProcessHandle.startTime(of: pid)
        // What was read is this process's only while its number has not been given to another.
        guard isRunning else { throw SystemCallError("pidfd_open", on: "\(pid)", code: ESRCH) }
    }

    /// Opens a running process. ESRCH where there is none, or one that started at another time than expected.
    public init(pid: Int32, startTime expected: UInt64? = nil) throws(SystemCallError) {
        self.pid = pid
        keeper = nil
        descriptor = Descriptor(owning: try check("pidfd_open", on: "\(pid)") { clinux_pidfd_open(pid) })
        startTime = try ProcessHandle.startTime(of: pid)
        if let expected, expected != startTime { throw SystemCallError("pidfd_open", on: "\(pid)", code: ESRCH) }
    }

    /// The process that has connected to a socket of ours. ESRCH where it has ended since.
    public init(peerOf socket: Descriptor) throws(SystemCallError) {
        keeper = nil
        pid = try UnixSocket.peer(socket).pid
        let known = clinux_peer_pidfd(socket.raw)
        let pid = pid
        // Before Linux 6.5 the number is all there is, and might be another process's by now.
        descriptor = Descriptor(
            owning: known >= 0 ? known : try check("pidfd_open", on: "\(pid)") { clinux_pidfd_open(pid) }
        )
        startTime = try ProcessHandle.startTime(of: pid)
        // While it runs, nobody else has its number: the time is its.
        if !isRunning { throw SystemCallError("pidfd_open", on: "\(pid)", code: ESRCH) }
    }

    /// Whether the process has not ended yet.
    public var isRunning: Bool {
        var poll = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 0
    }

    /// Does nothing where the process has ended already.
    public func kill(_ signal: Int32 = SIGKILL) throws(SystemCallError) {
        if clinux_pidfd_send_signal(descriptor.raw, signal) == 0 || errno == ESRCH { return }
        throw SystemCallError("pidfd_send_signal", on: "\(pid)")
    }

    /// How the process ended; call it only once it has, and its keeper has had the time to say how. Removes the zombie
    /// where it is our child.
    public func reap() -> End {
        var status: Int32 = 0
        if let keeper {
            guard case .bytes(let bytes, _)? = try? UnixSocket.receive(from: keeper, limit: 64),
                let text = Int32(String(decoding: bytes, as: UTF8.self))
            else { return .unknown }
            status = text
        } else if clinux_pidfd_reap(descriptor.raw, &status) != 0 {
            return .unknown
        }
        return ProcessHandle.end(status)
    }

    /// For the parent of a process that has ended: says to another process how.
    public func tellEnd(to other: Descriptor) throws(SystemCallError) {
        var status: Int32 = 0
        try check("waitid", on: "\(pid)") { clinux_pidfd_reap(descriptor.raw, &status) }
        _ = try UnixSocket.send(Array("\(status)".utf8)[...], to: other)
    }

    private static func end(_ status: Int32) -> End {
        if clinux_status_exited(status) != 0 { return .exited(code: clinux_status_exit_code(status)) }
        return .killed(signal: clinux_status_signal(status))
    }

    /// The users that it is: real, effective, saved and for files.
    public func users() throws(SystemCallError) -> [UInt32] {
        let path = "/proc/\(pid)/status"
        let text = String(decoding: try Descriptor.open(path, O_RDONLY).read(at: 0, count: 16_384), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("Uid:") }
        let users = (line ?? "").split(whereSeparator: { $0 == " " || $0 == "\t" }).compactMap { UInt32($0) }
        // What was read is this process's only while its number has not been given to another.
        guard users.count == 4, isRunning else { throw SystemCallError("read", on: path, code: ESRCH) }
        return users
    }

    private static func startTime(of pid: Int32) throws(SystemCallError) -> UInt64 {
        let path = "/proc/\(pid)/stat"
        let bytes = try Descriptor.open(path, O_RDONLY).read(at: 0, count: 4096)
        // The second field, the name in parentheses, may hold anything: count fields behind its end.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { throw SystemCallError("read", on: path, code: EINVAL) }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let ticks = UInt64(fields[19]) else {
            throw SystemCallError("read", on: path, code: EINVAL)
        }
        return ticks
    }
}
