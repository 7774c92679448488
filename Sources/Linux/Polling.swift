import Glibc

/// What poll(2) waits for.
public enum Polling {
    public struct Entry: Sendable {
        let descriptor: Int32
        let events: Int16

        public static func readable(_ descriptor: Int32) -> Entry {
            Entry(descriptor: descriptor, events: Int16(POLLIN))
        }
        public static func writable(_ descriptor: Int32) -> Entry {
            Entry(descriptor: descriptor, events: Int16(POLLOUT))
        }
        /// Never; it keeps its place in the answer.
        public static let none = Entry(descriptor: -1, events: 0)
    }

    /// Blocks until at least one is ready, hung up or in error, or the deadline has passed.
    /// - Returns: for each, whether it is.
    public static func wait(for entries: [Entry], deadline: Duration? = nil) throws(SystemCallError) -> [Bool] {
        var polled = entries.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        let milliseconds = deadline.map { Int32(clamping: $0.nanoseconds / 1_000_000) } ?? -1
        if poll(&polled, nfds_t(polled.count), milliseconds) < 0 && errno != EINTR {
            throw SystemCallError("poll", on: "\(entries.count) descriptors")
        }
        return polled.map { $0.revents != 0 }
    }
}
