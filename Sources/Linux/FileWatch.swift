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

    /// Watches for processes that have opened a file to write and close it.
    public static func closes(of file: Descriptor) throws(SystemCallError) -> FileWatch {
        let path = "/proc/self/fd/\(file.raw)"
        return FileWatch(descriptor: Descriptor(owning: try check("inotify", on: path) { clinux_watch_closes(path) }))
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
