import CLinux
import Glibc

/// A descriptor that becomes readable when a file or directory changes (inotify(7)).
public struct FileWatch: Sendable {
    public let descriptor: Descriptor

    /// Watches for writes to an open file, by whichever process.
    public static func writes(to file: Descriptor) throws(SystemCallError) -> FileWatch {
        let path = "/proc/self/fd/\(file.raw)"
        return FileWatch(descriptor: Descriptor(owning: try check("inotify", on: path) { clinux_watch_writes(path) }))
    }

    /// Watches for names that come and go in a directory, and for its own end.
    public static func directory(_ path: String) throws(SystemCallError) -> FileWatch {
        FileWatch(descriptor: Descriptor(owning: try check("inotify", on: path) { clinux_watch_directory(path) }))
    }

    /// Forgets what has happened so far.
    public func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while Glibc.read(descriptor.raw, &buffer, buffer.count) > 0 {}
    }
}

extension Descriptor {
    /// Blocks until at least one of the descriptors is readable, hung up or in error, or the deadline has passed.
    /// - Returns: for each, whether it is.
    public static func waitForAny(
        _ descriptors: [Descriptor],
        deadline: Duration? = nil
    ) throws(SystemCallError) -> [Bool] {
        var entries = descriptors.map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
        let milliseconds = deadline.map { Int32(clamping: $0.nanoseconds / 1_000_000) } ?? -1
        if poll(&entries, nfds_t(entries.count), milliseconds) < 0 && errno != EINTR {
            throw SystemCallError("poll", on: "\(descriptors.count) descriptors")
        }
        return entries.map { $0.revents != 0 }
    }
}
