import Glibc

/// Locks that programs have on a file for as long as they work on what it stands for (fcntl(2), F_SETLK).
public enum RecordLock {
    /// Whether another process, or another open file description, has locked any part of the file.
    public static func isHeld(on file: Descriptor) throws(SystemCallError) -> Bool {
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        if fcntl(file.raw, F_GETLK, &lock) < 0 { throw SystemCallError("fcntl", on: "fd \(file.raw)") }
        return lock.l_type != F_UNLCK
    }

    /// Blocks until nobody has locked the file, which may be locked again right afterwards. Never locks it: nobody is
    /// refused because of this.
    /// - Parameter interval: when to look again, for a holder that unlocks the file and keeps it open.
    public static func waitUntilReleased(_ path: String, interval: Duration = .seconds(30)) throws(SystemCallError) {
        let file = try Descriptor.open(path, O_RDONLY)
        // A lock goes with the first close by its holder, who must have opened the file to write. Closing the last
        // reference is what is told, and comes after.
        let watch = try FileWatch.closes(of: file)
        while try isHeld(on: file) {
            _ = try Polling.wait(for: [.readable(watch.descriptor.raw)], deadline: interval)
            watch.drain()
        }
    }
}
