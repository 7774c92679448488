import Glibc

/// What the loader needs of a file system.
public protocol DefinitionFiles: Sendable {
    /// The contents of a file, nil if there is none, empty for a symlink to /dev/null.
    ///
    /// Fails if the file cannot be read or has more than `limit` bytes.
    func read(_ path: String, limit: Int) throws(FileProblem) -> [UInt8]?

    /// The names in a directory, in any order; none if there is no such directory.
    func names(in directory: String) throws(FileProblem) -> [String]

    /// What is at a path, after following symlinks; nil if nothing is.
    func status(of path: String) throws(FileProblem) -> FileStatus?
}

/// Why a file cannot be used: the end of a sentence that began with its path, such as "is a directory".
public struct FileProblem: Error, Equatable {
    public var reason: String

    public init(_ reason: String) {
        self.reason = reason
    }
}

public struct FileStatus: Sendable, Equatable {
    public enum Kind: Sendable {
        case regular
        case directory
        case blockDevice
        case other
    }

    /// Equal for two paths that lead to the same file.
    public struct Identity: Sendable, Hashable {
        public var device: UInt64
        public var inode: UInt64

        public init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }
    }

    public var kind: Kind
    public var identity: Identity

    public init(kind: Kind, identity: Identity) {
        self.kind = kind
        self.identity = identity
    }
}

public struct SystemDefinitionFiles: DefinitionFiles {
    /// Opens what this process may not reach, for reading: the caller closes it. Nil where nobody may.
    public typealias Opening = @Sendable (_ path: String, _ flags: Int32) -> Int32?

    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    private static let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY

    private let opening: Opening?

    public init(opening: Opening? = nil) { self.opening = opening }

    public func read(_ path: String, limit: Int) throws(FileProblem) -> [UInt8]? {
        var descriptor = open(path, SystemDefinitionFiles.flags)
        var code = errno
        if descriptor < 0, code == EACCES, let opened = opening?(path, SystemDefinitionFiles.flags) {
            (descriptor, code) = (opened, 0)
        }
        guard descriptor >= 0 else {
            guard code == ENOENT else { throw FileProblem("cannot be opened: \(text(of: code))") }
            var link = stat()
            if lstat(path, &link) == 0 {
                throw FileProblem("is a link to a file that does not exist; restore that file or remove the link")
            }
            return nil
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw FileProblem("cannot be read: \(text(of: errno))") }
        if isNullDevice(information) { return [] }
        switch kind(of: information) {
        case .regular: break
        case .directory: throw FileProblem("is a directory, not a file")
        case .blockDevice, .other: throw FileProblem("is not a regular file")
        }
        return try contents(of: descriptor, limit: limit)
    }

    public func names(in directory: String) throws(FileProblem) -> [String] {
        guard let stream = opendir(directory) else {
            let code = errno
            guard code == ENOENT else { throw FileProblem("cannot be listed: \(text(of: code))") }
            return []
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = Glibc.readdir(stream) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            )
            errno = 0
        }
        guard errno == 0 else { throw FileProblem("cannot be listed: \(text(of: errno))") }
        return names
    }

    public func status(of path: String) throws(FileProblem) -> FileStatus? {
        var information = stat()
        if stat(path, &information) < 0 {
            let code = errno
            guard code != ENOENT else { return nil }
            guard code == EACCES, let opened = opening?(path, SystemDefinitionFiles.flags) else {
                throw FileProblem("cannot be used: \(text(of: code))")
            }
            defer { close(opened) }
            guard fstat(opened, &information) == 0 else { throw FileProblem("cannot be used: \(text(of: errno))") }
        }
        // A block device is itself, whatever file system its nodes are on.
        let kind = kind(of: information)
        let identity =
            kind == .blockDevice
            ? FileStatus.Identity(device: UInt64(information.st_rdev), inode: 0)
            : FileStatus.Identity(device: UInt64(information.st_dev), inode: UInt64(information.st_ino))
        return FileStatus(kind: kind, identity: identity)
    }

    /// Reads one byte past the limit to tell a file that is too long, since its size may grow after fstat().
    private func contents(of descriptor: Int32, limit: Int) throws(FileProblem) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &chunk, min(chunk.count, limit + 1 - bytes.count))
            if count == 0 { return bytes }
            if count > 0 {
                bytes += chunk[..<count]
            } else if errno != EINTR {
                throw FileProblem("cannot be read: \(text(of: errno))")
            }
        }
        throw FileProblem("has more than \(limit) bytes, which is too much for a definition")
    }

    private func isNullDevice(_ information: stat) -> Bool {
        information.st_mode & S_IFMT == S_IFCHR && information.st_rdev == 0x103
    }

    private func kind(of information: stat) -> FileStatus.Kind {
        switch information.st_mode & S_IFMT {
        case S_IFREG: .regular
        case S_IFDIR: .directory
        case S_IFBLK: .blockDevice
        default: .other
        }
    }

    private func text(of code: Int32) -> String {
        String(cString: strerror(code))
    }
}
