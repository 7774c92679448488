import CLinux
import Glibc

/// Descriptors that another process has open. Needs the right to trace it (ptrace(2)).
extension ProcessHandle {
    /// More than any QEMU has open.
    private static let mostDescriptors = 4096

    /// Numbers of the process's descriptors of memory files, by the name that memfd_create(2) was given. One file may
    /// be open under several numbers, and several files may have one name.
    public func memoryFiles() throws(SystemCallError) -> [String: [Int32]] {
        let path = "/proc/\(pid)/fd"
        var found: [String: [Int32]] = [:]
        for name in try Directory.names(in: path, limit: ProcessHandle.mostDescriptors) {
            guard let number = Int32(name), let file = memoryFileName(link: "\(path)/\(name)") else { continue }
            found[file, default: []].append(number)
        }
        // What was read is this process's only while its number has not been given to another.
        guard isRunning else { throw SystemCallError("opendir", on: path, code: ESRCH) }
        return found
    }

    /// Numbers of all of the process's descriptors that are files, each with the path that the kernel has for it.
    public func openFiles() throws(SystemCallError) -> [(number: Int32, path: String)] {
        let path = "/proc/\(pid)/fd"
        var found: [(Int32, String)] = []
        for name in try Directory.names(in: path, limit: ProcessHandle.mostDescriptors) {
            guard let number = Int32(name), let target = Directory.linkTarget("\(path)/\(name)"), target.hasPrefix("/")
            else { continue }
            let suffix = " (deleted)"
            found.append((number, target.hasSuffix(suffix) ? String(target.dropLast(suffix.count)) : target))
        }
        guard isRunning else { throw SystemCallError("opendir", on: path, code: ESRCH) }
        return found
    }

    /// The same open file description as the process has under `number`.
    public func fetch(_ number: Int32) throws(SystemCallError) -> Descriptor {
        Descriptor(
            owning: try check("pidfd_getfd", on: "fd \(number) of process \(pid)") {
                clinux_pidfd_getfd(descriptor.raw, number)
            }
        )
    }

    private func memoryFileName(link: String) -> String? {
        var target = [UInt8](repeating: 0, count: 300)
        let length = readlink(link, &target, target.count)
        guard length > 0 else { return nil }
        let text = String(decoding: target.prefix(length), as: UTF8.self)
        let (prefix, suffix) = ("/memfd:", " (deleted)")
        guard text.hasPrefix(prefix), text.hasSuffix(suffix), text.count > prefix.count + suffix.count else {
            return nil
        }
        return String(text.dropFirst(prefix.count).dropLast(suffix.count))
    }
}
