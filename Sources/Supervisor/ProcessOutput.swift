import Glibc
import Linux

/// What a QEMU process writes to standard output and standard error: a file that outlives the supervisor, never blocks
/// QEMU, and does not grow. What comes after `size` bytes is dropped.
struct ProcessOutput: Sendable {
    static let size = 64 << 10
    private static let longestLine = 500

    let file: Descriptor

    init() throws { file = try MemoryFile.create("vm-output", size: UInt64(ProcessOutput.size), growth: .fixed) }

    /// That of a process which another supervisor has started.
    init(of pid: Int32) throws { file = try Descriptor.open("/proc/\(pid)/fd/2", O_RDONLY) }

    /// The last lines, nil where there is none.
    var lastWords: String? {
        guard let bytes = try? file.read(at: 0, count: ProcessOutput.size) else { return nil }
        let lines = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self).split(separator: "\n")
        return lines.isEmpty
            ? nil : lines.suffix(3).map { $0.prefix(ProcessOutput.longestLine) }.joined(separator: "; ")
    }
}
