import Glibc
import Linux
import Varlink

/// The file that a dump is written to, with holes where the guest has nothing but zeros. It has its name once it is whole.
final class DumpFile {
    static let chunk = 1 << 20
    private static let page = 4096
    /// Left free on the file system.
    private static let reserve: UInt64 = 64 << 20
    /// What QEMU writes besides the guest's RAM: ROMs, video memory, registers.
    private static let surplus: UInt64 = 1 << 30

    let path: String
    /// Bytes so far, holes included.
    private(set) var size: UInt64 = 0
    /// Of those, what is no hole.
    private(set) var written: UInt64 = 0
    private let partial: String
    private let file: Descriptor
    private let limit: UInt64
    private var checked: UInt64 = 0

    /// Refuses a file that is there, and one that there is no room for.
    init(_ path: String, guest: String, for metrics: GuestInterface.Metrics) throws {
        (self.path, partial) = (path, "\(path).partial")
        limit = UInt64(clamping: metrics.ramBytes) + DumpFile.surplus
        var status = stat()
        if lstat(path, &status) == 0 { throw Exit.refused("'\(path)' is there already; choose another name") }
        do {
            file = try Descriptor.create(partial, mode: 0o600)
        } catch  where error.code == EEXIST {
            throw Exit.refused(
                "'\(partial)' is there already: another dump is under way, or was killed; remove it then"
            )
        } catch {
            throw Exit.failure("'\(path)' can't be written: \(error)")
        }
        let needed = UInt64(clamping: metrics.ramUsedBytes) + DumpFile.reserve
        let free = free
        if free < needed {
            remove()
            throw Exit.refused(
                "a dump of guest '\(guest)' needs \(needed >> 20) MiB, and there are \(free >> 20) MiB free where '\(path)' is"
            )
        }
    }

    private var free: UInt64 {
        var system = statvfs()
        return fstatvfs(file.raw, &system) == 0 ? UInt64(system.f_bavail) * UInt64(system.f_frsize) : 0
    }

    func append(_ bytes: ArraySlice<UInt8>) throws {
        guard size + UInt64(bytes.count) <= limit else {
            throw Exit.failure("QEMU sends more than the guest has; the dump is given up")
        }
        var rest = bytes
        while !rest.isEmpty {
            // Pages of the file, whatever pieces they come in.
            let length = min(rest.count, DumpFile.page - Int(size % UInt64(DumpFile.page)))
            try append(page: rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        try flush()
        if written - checked >= DumpFile.reserve {
            checked = written
            if free < DumpFile.reserve { throw Exit.refused("there is no room left where '\(path)' is") }
        }
    }

    /// Data that follows each other goes into the file with one call.
    private var pending: [UInt8] = []

    private func append(page: ArraySlice<UInt8>) throws {
        let isEmpty = page.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress, bytes.first == 0 else { return false }
            return memcmp(start, start + 1, bytes.count - 1) == 0
        }
        if isEmpty { try flush() } else { pending += page }
        size += UInt64(page.count)
    }

    private func flush() throws {
        if pending.isEmpty { return }
        do {
            try file.write(pending, at: size - UInt64(pending.count))
        } catch {
            throw Exit.failure("'\(path)' can't be written: \(error)")
        }
        written += UInt64(pending.count)
        pending.removeAll(keepingCapacity: true)
    }

    /// Returns when the file is on stable storage.
    func finish() throws {
        do {
            guard ftruncate(file.raw, off_t(size)) == 0 else { throw SystemCallError("ftruncate", on: path) }
            try file.sync()
            guard access(path, F_OK) != 0, rename(partial, path) == 0 else {
                throw SystemCallError("rename", on: path)
            }
        } catch {
            throw Exit.failure("'\(path)' can't be written: \(error)")
        }
    }

    func remove() { unlink(partial) }
}
