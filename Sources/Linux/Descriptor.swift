import CLinux
import Glibc

/// An open file descriptor, closed when the last reference to it goes. Always close-on-exec.
public final class Descriptor: Sendable {
    public let raw: Int32

    /// Takes ownership of `raw`.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// O_DIRECT.
    public static let direct = clinux_direct

    /// Opens a file. `flags` as in open(2); O_CLOEXEC is added.
    public static func open(_ path: String, _ flags: Int32) throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("open", on: path) { Glibc.open(path, flags | O_CLOEXEC) })
    }

    /// Which file there is at a path, not open for anything: `reopened` opens the same one.
    public static func find(_ path: String) throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("open", on: path) { clinux_open_path(path) })
    }

    /// Whether the file is one of the kernel's own, such as those in /proc, where opening it may do something.
    public func isKernels() throws(SystemCallError) -> Bool {
        try check("fstatfs", on: "fd \(raw)") { clinux_is_kernels(raw) } != 0
    }

    /// Whether the file is `/proc/PATH`, whichever instance of that file system it was opened in.
    public func isProc(_ path: String) throws(SystemCallError) -> Bool {
        guard try check("fstatfs", on: "fd \(raw)", { clinux_is_proc(raw) }) != 0 else { return false }
        // Of an instance that is not mounted here, it begins at the file system's root.
        return ["/proc/\(path)", "/\(path)"].contains(Directory.linkTarget("/proc/self/fd/\(raw)"))
    }

    /// Makes a file that must not be there yet, to read and write.
    public static func create(_ path: String, mode: mode_t) throws(SystemCallError) -> Descriptor {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        return Descriptor(owning: try check("open", on: path) { Glibc.open(path, flags, mode) })
    }

    /// Returns when the file's data is on stable storage.
    public func sync() throws(SystemCallError) { try check("fsync", on: "fd \(raw)") { fsync(raw) } }

    /// Another open file description of the same file, with its own offset and access mode.
    public func reopened(_ flags: Int32) throws(SystemCallError) -> Descriptor {
        try Descriptor.open("/proc/self/fd/\(raw)", flags)
    }

    /// Another number for the same open file description.
    public func duplicate() throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("fcntl", on: "fd \(raw)") { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
    }

    public func setNonBlocking() throws(SystemCallError) {
        let flags = try check("fcntl", on: "fd \(raw)") { fcntl(raw, F_GETFL) }
        try check("fcntl", on: "fd \(raw)") { fcntl(raw, F_SETFL, flags | O_NONBLOCK) }
    }

    public func setBlocking() throws(SystemCallError) {
        let flags = try check("fcntl", on: "fd \(raw)") { fcntl(raw, F_GETFL) }
        try check("fcntl", on: "fd \(raw)") { fcntl(raw, F_SETFL, flags & ~O_NONBLOCK) }
    }

    /// Device and inode: what identifies the file behind the descriptor.
    public func identity() throws(SystemCallError) -> FileIdentity {
        var status = stat()
        try check("fstat", on: "fd \(raw)") { fstat(raw, &status) }
        return FileIdentity(status)
    }

    /// Nobody else may open the file, as through /proc/PID/fd.
    public func restrictToOwner() throws(SystemCallError) {
        try check("fchmod", on: "fd \(raw)") { fchmod(raw, 0o700) }
    }

    /// Who has the descriptor may open the file once more, as through /proc/self/fd.
    public func allowReopening() throws(SystemCallError) {
        try check("fchmod", on: "fd \(raw)") { fchmod(raw, 0o666) }
    }

    public func access() throws(SystemCallError) -> FileAccess {
        var status = stat()
        try check("fstat", on: "fd \(raw)") { fstat(raw, &status) }
        return FileAccess(status)
    }

    /// Who may use the file from here on. It is nobody's in between but root's.
    public func setAccess(_ access: FileAccess) throws(SystemCallError) {
        try check("fchown", on: "fd \(raw)") { fchown(raw, 0, 0) }
        try check("fchmod", on: "fd \(raw)") { fchmod(raw, 0o600) }
        try check("fchown", on: "fd \(raw)") { fchown(raw, access.owner, access.group) }
        try check("fchmod", on: "fd \(raw)") { fchmod(raw, access.mode) }
    }

    /// Bytes.
    public func size() throws(SystemCallError) -> UInt64 {
        var status = stat()
        try check("fstat", on: "fd \(raw)") { fstat(raw, &status) }
        return UInt64(status.st_size)
    }

    /// Bytes that the file takes, holes left out.
    public func allocated() throws(SystemCallError) -> UInt64 {
        var status = stat()
        try check("fstat", on: "fd \(raw)") { fstat(raw, &status) }
        return UInt64(status.st_blocks) * 512
    }

    /// Reads at most `count` bytes at `offset`; fewer at the end of the file.
    public func read(at offset: UInt64, count: Int) throws(SystemCallError) -> [UInt8] {
        var failure: SystemCallError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while initialized < count {
                let got = pread(
                    raw,
                    buffer.baseAddress! + initialized,
                    count - initialized,
                    off_t(offset) + initialized
                )
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = SystemCallError("pread", on: "fd \(raw)") }
                if got <= 0 { break }
                initialized += got
            }
        }
        if let failure { throw failure }
        return bytes
    }

    private func copyThroughMemory(
        at offset: UInt64,
        count: Int,
        to other: Descriptor,
        at place: UInt64
    ) throws(SystemCallError) -> Int {
        let bytes = try read(at: offset, count: min(count, 1 << 20))
        if bytes.isEmpty { throw SystemCallError("copy", on: "fd \(raw)", code: EIO) }
        try other.write(bytes, at: place)
        return bytes.count
    }

    /// Copies at most `count` bytes to another file without taking them in. Returns how many it was, at least one.
    public func copy(at offset: UInt64, count: Int, to other: Descriptor, at place: UInt64) throws(SystemCallError)
        -> Int
    {
        while true {
            let copied = clinux_copy_range(raw, off_t(offset), other.raw, off_t(place), count)
            if copied > 0 { return copied }
            if copied == 0 { throw SystemCallError("copy", on: "fd \(raw)", code: EIO) }
            // The kernel does not copy from files of huge pages.
            if errno == EINVAL { return try copyThroughMemory(at: offset, count: count, to: other, at: place) }
            if errno != EINTR { throw SystemCallError("copy", on: "fd \(other.raw)") }
        }
    }

    /// Copies everything to another, empty file.
    /// - Parameter limit: More bytes than this are refused with EFBIG, even where the file has grown meanwhile.
    public func copyContents(to other: Descriptor, limit: UInt64) throws(SystemCallError) {
        var position: UInt64 = 0
        while true {
            let bytes = try read(at: position, count: 1 << 20)
            if bytes.isEmpty { return }
            guard position + UInt64(bytes.count) <= limit else {
                throw SystemCallError("copy", on: "fd \(raw)", code: EFBIG)
            }
            try other.write(bytes, at: position)
            position += UInt64(bytes.count)
        }
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes {
                pwrite(raw, $0.baseAddress! + done, bytes.count - done, off_t(offset) + done)
            }
            if put < 0 && errno == EINTR { continue }
            if put <= 0 { throw SystemCallError("pwrite", on: "fd \(raw)") }
            done += put
        }
    }
}

/// What stays the same for one file however it is opened, and differs once a package has replaced it.
public struct FileIdentity: Hashable, Sendable, Codable {
    public let device: UInt64
    public let inode: UInt64
    /// Nanoseconds since the epoch. Inode numbers are used again after a file has been replaced.
    public let modified: Int64
    /// User ID.
    public let owner: UInt32

    /// Whether it is the same file, which may have been written to in between.
    public func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        // Wraps: a VM process can give its memory files any time there is.
        modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        owner = status.st_uid
    }

    public static func of(path: String) throws(SystemCallError) -> FileIdentity {
        var status = stat()
        try check("stat", on: path) { stat(path, &status) }
        return FileIdentity(status)
    }
}

/// Who may use a file.
public struct FileAccess: Sendable, Equatable {
    /// User ID.
    public let owner: UInt32
    /// Group ID.
    public let group: UInt32
    /// Permission bits, as in chmod(2).
    public let mode: UInt32

    public init(owner: UInt32, group: UInt32, mode: UInt32) {
        (self.owner, self.group, self.mode) = (owner, group, mode)
    }

    public init(of path: String) throws(SystemCallError) {
        var status = stat()
        try check("stat", on: path) { stat(path, &status) }
        self.init(status)
    }

    init(_ status: stat) {
        owner = status.st_uid
        group = status.st_gid
        mode = status.st_mode & 0o7777
    }
}
