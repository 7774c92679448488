import Glibc
import Linux

/// What a helper opens or executes, of all that there is on the host.
enum HelperFile {
    /// Opens a disk's image, or what else a definition names: a file or a block device, or a directory to look at.
    /// - Parameter flags: as in open(2); only those for access, O_NONBLOCK, O_NOCTTY and O_DIRECT are followed.
    static func open(_ path: String, _ flags: Int32) throws -> Descriptor {
        guard path.hasPrefix("/") else { throw HelperError("'\(path)' is no absolute path") }
        // Looked at before anything is opened: opening a device may do something, too.
        let found = try Descriptor.find(path)
        var status = stat()
        guard fstat(found.raw, &status) == 0 else { throw SystemCallError("fstat", on: path) }
        let writes = flags & O_ACCMODE != O_RDONLY
        switch status.st_mode & S_IFMT {
        case S_IFREG, S_IFBLK: break
        case S_IFDIR where !writes: break
        default: throw HelperError("'\(path)' is neither a file nor a block device")
        }
        guard try !found.isKernels() else {
            throw HelperError("'\(path)' is the kernel's")
        }
        do throws(SystemCallError) {
            return try found.reopened(flags & (O_ACCMODE | O_NONBLOCK | O_NOCTTY | Descriptor.direct))
        } catch {
            throw SystemCallError("open", on: path, code: error.code)
        }
    }

    /// A program that nobody but its owner can have changed. What cannot be looked at the guest's user can't execute.
    static func checkProgram(_ path: String) throws {
        guard path.hasPrefix("/") else { throw HelperError("'\(path)' is no absolute path") }
        var status = stat()
        guard stat(path, &status) == 0 else { throw SystemCallError("execve", on: path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw HelperError("'\(path)' is no program") }
        guard status.st_mode & 0o002 == 0, !GuestUsers.range.contains(status.st_uid) else {
            throw HelperError("the program '\(path)' can be changed by others, and so is not started")
        }
    }
}
