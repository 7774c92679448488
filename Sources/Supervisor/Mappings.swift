import Glibc
import Linux

/// What a process maps, from /proc/PID/maps.
struct Mappings {
    struct Entry: Equatable {
        var range: Range<UInt64>
        /// As the kernel has it: `rw-s`.
        var access: String
        var device: UInt64
        var inode: UInt64
        /// Empty where there is no file.
        var path: String
    }

    /// Longer than any QEMU's.
    private static let longest = 4 << 20

    let entries: [Entry]

    /// /proc/PID/maps, for who may trace the process.
    static func file(of process: ProcessHandle) throws -> Descriptor {
        let file = try Descriptor.open("/proc/\(process.pid)/maps", O_RDONLY)
        guard process.isRunning else { throw SystemCallError("open", on: "/proc/\(process.pid)", code: ESRCH) }
        return file
    }

    /// Whether a descriptor that somebody else has opened is this process's /proc/PID/maps.
    static func isFile(_ file: Descriptor, of process: ProcessHandle) throws -> Bool {
        try file.isProc("\(process.pid)/maps") && process.isRunning
    }

    /// - Parameter maps: /proc/PID/maps. Nothing comes of a process that has ended.
    init(reading maps: Descriptor) throws {
        var text: [UInt8] = []
        // The kernel gives a page at a time.
        while text.count < Mappings.longest {
            let part = try maps.read(at: UInt64(text.count), count: 65_536)
            if part.isEmpty { break }
            text += part
        }
        self.init(text: text)
    }

    /// A line ends at a line feed, whatever stands before it: to a String, it is one with a carriage return.
    init(text: [UInt8]) {
        entries = text.split(separator: UInt8(ascii: "\n")).compactMap {
            Mappings.entry(String(decoding: $0, as: UTF8.self))
        }
    }

    /// How many bytes of the file are mapped writable: shared with whoever maps it, too, or copy-on-write.
    func length(of file: FileIdentity, shared: Bool) -> UInt64 {
        // A process may map a file as often as it likes: no sum of that is what a guest has.
        entries.reduce(0) { total, entry in
            guard entry.access.hasPrefix("rw"), entry.access.hasSuffix(shared ? "s" : "p"), entry.inode == file.inode,
                entry.device == file.device
            else { return total }
            let (sum, overflow) = total.addingReportingOverflow(entry.range.upperBound - entry.range.lowerBound)
            return overflow ? .max : sum
        }
    }

    /// Whether a file of that number is mapped, on whatever device.
    func mentions(_ file: FileIdentity) -> Bool { entries.contains { $0.inode == file.inode } }

    /// As `length`, of files of that number on other devices: some file systems have one of their own for mappings.
    func lengthElsewhere(of file: FileIdentity) -> UInt64 {
        let others = entries.filter { $0.inode == file.inode && $0.device != file.device && $0.access == "rw-s" }
        return others.map { $0.range.upperBound - $0.range.lowerBound }.max() ?? 0
    }

    private static func entry(_ line: String) -> Entry? {
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count > 4, let device = device(fields[3]), let inode = UInt64(fields[4]) else { return nil }
        let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1] else { return nil }
        return Entry(
            range: ends[0]..<ends[1],
            access: String(fields[1]),
            device: device,
            inode: inode,
            path: fields.count > 5 ? String(fields[5].drop { $0 == " " }) : ""
        )
    }

    /// `major:minor` in hexadecimal, as stat(2) has it in one number.
    private static func device(_ field: Substring) -> UInt64? {
        let numbers = field.split(separator: ":").compactMap { UInt32($0, radix: 16) }
        guard numbers.count == 2 else { return nil }
        let (major, minor) = (UInt64(numbers[0]), UInt64(numbers[1]))
        return minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32
    }
}
