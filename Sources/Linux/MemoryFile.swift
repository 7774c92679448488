import CLinux
import Glibc

/// Files in memory (memfd_create(2)).
public enum MemoryFile {
    public enum Growth: Sendable {
        /// Sealed: neither the size nor the seals can change.
        case fixed
        case allowed
    }

    /// A zeroed memory file of `size` bytes. Memory is taken when pages are first written.
    ///
    /// - Parameter hugePages: size of the pages, which must be set aside on the host; nil for ordinary ones.
    public static func create(
        _ name: String,
        size: UInt64 = 0,
        growth: Growth,
        hugePages: UInt64? = nil
    ) throws(SystemCallError) -> Descriptor {
        let exponent = UInt32(hugePages?.trailingZeroBitCount ?? 0)
        let file = Descriptor(owning: try check("memfd_create", on: name) { clinux_memfd_create(name, exponent) })
        try resize(file, to: size, name: name)
        if growth == .fixed {
            let seals = Int32(CLINUX_SEAL_GROW | CLINUX_SEAL_SHRINK | CLINUX_SEAL_SEAL)
            try check("F_ADD_SEALS", on: name) { clinux_add_seals(file.raw, seals) }
        }
        return file
    }

    /// Neither contents nor size can change from here on.
    public static func sealContents(_ file: Descriptor, name: String) throws(SystemCallError) {
        let seals = Int32(CLINUX_SEAL_WRITE | CLINUX_SEAL_GROW | CLINUX_SEAL_SHRINK | CLINUX_SEAL_SEAL)
        try check("F_ADD_SEALS", on: name) { clinux_add_seals(file.raw, seals) }
    }

    /// Bytes of each of a file's pages, where they are huge ones; nil where they are not.
    public static func hugePageSize(of file: Descriptor) throws(SystemCallError) -> UInt64? {
        let size = clinux_huge_page_size(file.raw)
        guard size >= 0 else { throw SystemCallError("fstatfs", on: "fd \(file.raw)") }
        return size == 0 ? nil : UInt64(size)
    }

    public static func resize(_ file: Descriptor, to size: UInt64, name: String) throws(SystemCallError) {
        guard let length = off_t(exactly: size) else { throw SystemCallError("ftruncate", on: name, code: EFBIG) }
        try check("ftruncate", on: name) { ftruncate(file.raw, length) }
    }

    /// Whether the file can neither grow nor shrink. False for what is no memory file.
    public static func isSealed(_ file: Descriptor) -> Bool {
        let wanted = Int32(CLINUX_SEAL_GROW | CLINUX_SEAL_SHRINK)
        let seals = clinux_get_seals(file.raw)
        return seals >= 0 && seals & wanted == wanted
    }

    /// Whether the contents can't change either. False for what is no memory file.
    public static func isReadOnly(_ file: Descriptor) -> Bool {
        isSealed(file) && clinux_get_seals(file.raw) & Int32(CLINUX_SEAL_WRITE) != 0
    }

    /// Gives back the memory of the first `length` bytes; they read as zeros from then on.
    public static func discard(_ file: Descriptor, first length: UInt64) throws(SystemCallError) {
        try check("fallocate", on: "fd \(file.raw)") { clinux_punch_hole(file.raw, 0, off_t(length)) }
    }

    /// The first offset at or after `offset` that still holds data, nil where there is none.
    public static func firstData(_ file: Descriptor, from offset: UInt64) -> UInt64? {
        let found = clinux_seek_data(file.raw, off_t(offset))
        return found < 0 ? nil : UInt64(found)
    }

    /// The pieces of a part of the file that hold data, in their order; what lies between them reads as zeros.
    public static func data(_ file: Descriptor, in part: Range<UInt64>) throws(SystemCallError) -> [Range<UInt64>] {
        var pieces: [Range<UInt64>] = []
        var position = part.lowerBound
        while position < part.upperBound, let start = firstData(file, from: position), start < part.upperBound {
            let hole = try check("SEEK_HOLE", on: "fd \(file.raw)") { clinux_seek_hole(file.raw, off_t(start)) }
            let end = min(UInt64(hole), part.upperBound)
            pieces.append(start..<end)
            position = end
        }
        return pieces
    }
}
