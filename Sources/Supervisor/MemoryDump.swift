import Glibc
import Linux

/// The RAM of a lost guest in a file that gdb opens: an ELF core with a segment for each range of
/// guest-physical addresses, which serve as virtual ones, too. There are no CPU registers in it: they went with the VM
/// process. What the guest has never written takes no room on disk.
struct MemoryDump: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    struct Result: Equatable, Sendable {
        var path: String
        /// Of the guest's RAM.
        var bytes: UInt64
        /// How much of it was written.
        var written: UInt64
    }

    /// Left free on the file system, so that a dump does not bring the host down.
    static let reserve: UInt64 = 64 << 20
    private static let chunk = 16 << 20
    /// So often what has been written is waited for: progress is what the disk has.
    private static let syncInterval: UInt64 = 64 << 20
    private static let page: UInt64 = 4096

    var guest: String
    var directory: String
    /// How many dumps of the guest are kept, this one included.
    var retain: Int
    var ranges: [GuestMemoryRange]
    /// By block.
    var files: [String: Descriptor]
    var note: String

    /// Writes the file and deletes the oldest of those that are too many. Blocks, for as long as the disk takes.
    /// - Parameters:
    ///   - time: seconds since the epoch, for the file's name.
    ///   - progress: called with the bytes written, again and again.
    func write(time: Int, progress: (UInt64) -> Void) throws -> Result {
        try Directory.make(directory)
        let dumps = DumpDirectory(path: directory, guest: guest)
        try dumps.removePartial()
        let pieces = try ranges.map { range in
            guard let file = files[range.block] else {
                throw Failure(description: "'\(Inventory.ram(range.block))' is lost")
            }
            return try MemoryFile.data(file, in: range.offset..<(range.offset + range.length))
        }
        let header = header
        let wanted = pieces.joined().reduce(UInt64(header.count)) { $0 + UInt64($1.count) }
        try dumps.makeRoom(for: wanted + MemoryDump.reserve, retaining: retain - 1)

        let partial = try dumps.createPartial()
        do {
            let end = UInt64(header.count) + ranges.reduce(0) { $0 + $1.length }
            try MemoryFile.resize(partial, to: end, name: directory)
            try partial.write(header, at: 0)
            try copy(pieces, to: partial, from: UInt64(header.count), progress)
            try partial.sync()
            let path = try dumps.finishPartial(time: time)
            return Result(path: path, bytes: ranges.reduce(0) { $0 + $1.length }, written: wanted)
        } catch {
            try? dumps.removePartial()
            throw error
        }
    }

    private func copy(
        _ pieces: [[Range<UInt64>]],
        to output: Descriptor,
        from start: UInt64,
        _ progress: (UInt64) -> Void
    ) throws {
        var (segment, written, synced) = (start, UInt64(0), UInt64(0))
        for (range, pieces) in zip(ranges, pieces) {
            guard let file = files[range.block] else { continue }
            for piece in pieces {
                var position = piece.lowerBound
                while position < piece.upperBound {
                    let count = min(MemoryDump.chunk, Int(piece.upperBound - position))
                    let place = segment + (position - range.offset)
                    let copied = try file.copy(at: position, count: count, to: output, at: place)
                    position += UInt64(copied)
                    written += UInt64(copied)
                    if written - synced >= MemoryDump.syncInterval {
                        try output.sync()
                        synced = written
                    }
                    progress(written)
                }
            }
            segment += range.length
        }
    }

    // MARK: ELF

    /// Everything before the first segment, a whole number of pages.
    var header: [UInt8] {
        let entries = ranges.count + 1
        let noteAt = 64 + 56 * entries
        let note = noteSegment
        let size = (UInt64(noteAt + note.count) + MemoryDump.page - 1) / MemoryDump.page * MemoryDump.page

        var elf = LittleEndianBytes()
        elf.append(bytes: [0x7F] + Array("ELF".utf8) + [2, 1, 1, 0] + [UInt8](repeating: 0, count: 8))
        elf.append(UInt16(4))  // ET_CORE
        elf.append(UInt16(62))  // EM_X86_64
        elf.append(UInt32(1))
        elf.append(UInt64(0))
        elf.append(UInt64(64))
        elf.append(UInt64(0))
        elf.append(UInt32(0))
        for value in [64, 56, entries, 0, 0, 0] { elf.append(UInt16(value)) }

        elf.appendProgramHeader(type: 4, flags: 0, offset: UInt64(noteAt), address: 0, length: UInt64(note.count))
        var offset = size
        for range in ranges {
            elf.appendProgramHeader(type: 1, flags: 7, offset: offset, address: range.address, length: range.length)
            offset += range.length
        }
        return elf.bytes + note + [UInt8](repeating: 0, count: Int(size) - noteAt - note.count)
    }

    /// For people: `readelf --notes` shows it.
    private var noteSegment: [UInt8] {
        func padded(_ text: String) -> [UInt8] {
            let bytes = Array(text.utf8) + [0]
            return bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
        }
        // It may quote QEMU at length.
        let text = String(decoding: note.utf8.prefix(2000), as: UTF8.self)
        var elf = LittleEndianBytes()
        elf.append(UInt32("PERDURE".utf8.count + 1))
        elf.append(UInt32(text.utf8.count + 1))
        elf.append(UInt32(1))
        return elf.bytes + padded("PERDURE") + padded(text)
    }
}

private struct LittleEndianBytes {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    mutating func append(bytes more: [UInt8]) { bytes += more }

    mutating func appendProgramHeader(type: UInt32, flags: UInt32, offset: UInt64, address: UInt64, length: UInt64) {
        append(type)
        append(flags)
        // Virtual and physical address; the sizes in the file and in memory; an alignment of 0, by which crash knows
        // a dump of this form.
        for value in [offset, address, address, length, length, 0] { append(value) }
    }
}
