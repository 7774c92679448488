import Glibc
import Linux

/// What a process maps of a file, from /proc/PID/maps.
enum SharedMappings {
    /// Longer than any QEMU's.
    private static let longest = 4 << 20

    /// How many bytes of the file the process maps shared and writable.
    static func length(of file: FileIdentity, in pid: Int32) throws -> UInt64 {
        let path = "/proc/\(pid)/maps"
        let maps = try Descriptor.open(path, O_RDONLY)
        var text: [UInt8] = []
        // The kernel gives a page at a time.
        while text.count < longest {
            let part = try maps.read(at: UInt64(text.count), count: 65_536)
            if part.isEmpty { break }
            text += part
        }
        return length(of: file, in: text)
    }

    /// - Parameter maps: the text of a /proc/PID/maps.
    static func length(of file: FileIdentity, in maps: [UInt8]) -> UInt64 {
        // A process may map a file as often as it likes: no sum of that is what a guest has.
        String(decoding: maps, as: UTF8.self).split(separator: "\n").reduce(0) { total, line in
            let (sum, overflow) = total.addingReportingOverflow(length(of: file, inLine: line))
            return overflow ? .max : sum
        }
    }

    private static func length(of file: FileIdentity, inLine line: Substring) -> UInt64 {
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count > 4, fields[1].hasPrefix("rw"), fields[1].hasSuffix("s"), fields[4] == "\(file.inode)",
            device(fields[3]) == file.device
        else { return 0 }
        let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
        return ends.count == 2 && ends[0] < ends[1] ? ends[1] - ends[0] : 0
    }

    /// `major:minor` in hexadecimal, as stat(2) has it in one number.
    private static func device(_ field: Substring) -> UInt64? {
        let numbers = field.split(separator: ":").compactMap { UInt32($0, radix: 16) }
        guard numbers.count == 2 else { return nil }
        let (major, minor) = (UInt64(numbers[0]), UInt64(numbers[1]))
        return minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32
    }
}
