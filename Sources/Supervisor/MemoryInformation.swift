import Glibc
import Linux

/// Memory of the host, of processes and of control groups. All sizes in bytes.
package enum MemoryInformation {
    /// What can be had without swapping.
    package static func available() throws -> UInt64 { try field("MemAvailable:", of: "/proc/meminfo") }

    /// Where the kernel tells of its huge pages of a size in bytes.
    static func hugePages(ofSize size: UInt64) -> String { "/sys/kernel/mm/hugepages/hugepages-\(size >> 10)kB" }

    /// Those that nobody has or has been promised; none where the kernel has no such pages.
    static func freeHugePages(ofSize size: UInt64) -> UInt64 {
        let directory = hugePages(ofSize: size)
        let free = number(in: "\(directory)/free_hugepages") ?? 0
        let promised = number(in: "\(directory)/resv_hugepages") ?? 0
        return free > promised ? free - promised : 0
    }

    /// The kernel's setting for huge pages in shared memory, such as `never`; nil where it has none.
    static func sharedHugePages() -> String? {
        let words = try? text(of: "/sys/kernel/mm/transparent_hugepage/shmem_enabled").split { $0 == " " || $0 == "\n" }
        return words?.first { $0.hasPrefix("[") }.map { String($0.dropFirst().dropLast()) }
    }

    /// What a process has for itself alone, shared memory and program text not counted.
    static func anonymous(of pid: Int32) throws -> UInt64 { try field("RssAnon:", of: "/proc/\(pid)/status") }

    /// Of the control groups that a process is in, the one with the least left below its limit; nil where none has one.
    static func groupWithLeastRoom(of pid: Int32) -> (name: String, room: UInt64)? {
        guard
            let line = (try? text(of: "/proc/\(pid)/cgroup"))?.split(separator: "\n").first(where: {
                $0.hasPrefix("0::/")
            })
        else { return nil }
        var path = line.dropFirst("0::".count)
        var least: (name: String, room: UInt64)?
        while path.count > 1 {
            if let room = room(in: "/sys/fs/cgroup\(path)"), room < least?.room ?? .max {
                least = (String(path.split(separator: "/").last ?? ""), room)
            }
            path = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        }
        return least
    }

    /// Nil where there is no limit. The page cache of files counts as room: it makes way.
    private static func room(in directory: String) -> UInt64? {
        guard let limit = number(in: "\(directory)/memory.max"), let used = number(in: "\(directory)/memory.current")
        else { return nil }
        let path = "\(directory)/memory.stat"
        let cache = (try? value("file", of: path)) ?? 0
        let shared = (try? value("shmem", of: path)) ?? 0
        let reclaimable = cache > shared ? cache - shared : 0
        let fixed = used > reclaimable ? used - reclaimable : 0
        return limit > fixed ? limit - fixed : 0
    }

    private static func number(in path: String) -> UInt64? {
        (try? text(of: path))?.split(separator: "\n").first.flatMap { UInt64($0) }
    }

    private static func field(_ name: String, of path: String) throws -> UInt64 { try value(name, of: path) << 10 }

    private static func value(_ name: String, of path: String) throws -> UInt64 {
        for line in try text(of: path).split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            if words.count > 1, words[0] == name, let number = UInt64(words[1]) { return number }
        }
        throw SystemCallError("read", on: path, code: EINVAL)
    }

    private static func text(of path: String) throws -> String {
        String(decoding: try Descriptor.open(path, O_RDONLY).read(at: 0, count: 16_384), as: UTF8.self)
    }
}
