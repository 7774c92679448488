import Glibc
import Linux

/// The host's memory, from /proc/meminfo.
enum MemoryInformation {
    /// Bytes that can be had without swapping.
    static func available() throws -> UInt64 {
        let path = "/proc/meminfo"
        let text = String(decoding: try Descriptor.open(path, O_RDONLY).read(at: 0, count: 8192), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            if let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ UInt64($0) }) {
                return kilobytes << 10
            }
        }
        throw SystemCallError("read", on: path, code: EINVAL)
    }
}
