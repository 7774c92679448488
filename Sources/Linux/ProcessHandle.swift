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

    /// Opens a running process. ESRCH where there is none, or one that started at another time than expected.
    public init(pid: Int32, startTime expected: UInt64? = nil) throws(SystemCallError) {
        self.pid = pid
        descriptor = Descriptor(owning: try check("pidfd_open", on: "\(pid)") { clinux_pidfd_open(pid) })
        startTime = try ProcessHandle.startTime(of: pid)
        if let expected, expected != startTime { throw SystemCallError("pidfd_open", on: "\(pid)", code: ESRCH) }
    }

    /// The process that has connected to a socket of ours. ESRCH where it has ended since.
    public init(peerOf socket: Descriptor) throws(SystemCallError) {
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

    /// How the process ended; call it only once it has. Removes the zombie where it is our child.
    public func reap() -> End {
        var status: Int32 = 0
        guard clinux_pidfd_reap(descriptor.raw, &status) == 0 else { return .unknown }
        if clinux_status_exited(status) != 0 { return .exited(code: clinux_status_exit_code(status)) }
        return .killed(signal: clinux_status_signal(status))
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
