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
    init(_ file: Descriptor) { self.file = file }

    /// All lines that are not empty.
    var lines: [String] { byteLines.map { String(decoding: $0, as: UTF8.self) } }

    private var byteLines: [ArraySlice<UInt8>] {
        guard let bytes = try? file.read(at: 0, count: ProcessOutput.size) else { return [] }
        // Bytes: to a String, a carriage return and the line feed behind it are one character, and no line feed.
        return bytes.prefix { $0 != 0 }.split(separator: UInt8(ascii: "\n"))
    }

    struct Lines: Equatable {
        var lines: [String] = []
        /// Offset behind the last of them.
        var end: Int
    }

    /// At most `limit` whole lines from `offset` on, as they may be logged.
    /// - Parameter isFinal: nothing will follow: what has no end of a line is one, too.
    func lines(from offset: Int, limit: Int, isFinal: Bool = false) -> Lines {
        let begin = min(max(0, offset), ProcessOutput.size)
        var found = Lines(end: begin)
        // Mostly there is nothing new.
        guard let next = try? file.read(at: UInt64(begin), count: 1), next.first ?? 0 != 0,
            let bytes = try? file.read(at: UInt64(begin), count: ProcessOutput.size - begin)
        else { return found }
        var rest = bytes.prefix { $0 != 0 }
        while !rest.isEmpty {
            let line = rest.prefix { $0 != UInt8(ascii: "\n") }
            let isWhole = line.endIndex < rest.endIndex
            // Nothing is written behind a full file's last byte.
            guard isWhole || isFinal || begin + rest.endIndex == ProcessOutput.size else { break }
            if found.lines.count == limit { break }
            let text = String(decoding: line, as: UTF8.self)
            if !line.isEmpty { found.lines.append(ForeignText.printable(text, limit: ProcessOutput.longestLine)) }
            rest = rest[min(line.endIndex + 1, rest.endIndex)...]
            found.end = begin + rest.startIndex
        }
        return found
    }

    /// The last lines, nil where there is none.
    var lastWords: String? {
        let last = byteLines.suffix(3).map { line in
            ForeignText.printable(String(decoding: line, as: UTF8.self), limit: ProcessOutput.longestLine)
        }
        return last.isEmpty ? nil : last.joined(separator: "; ")
    }
}
