import Glibc
import Linux

/// Whether what a process executes is still what is installed.
enum OutdatedProgram {
    private static let deleted = " (deleted)"

    /// The program and libraries that the process executes and that have since been replaced or deleted, by their paths.
    /// Empty for a process that has ended.
    static func replacedFiles(of pid: Int32) -> [String] {
        guard let mappings = try? Mappings(of: pid) else { return [] }
        return replacedFiles(mappings) { entry in
            let link =
                "/proc/\(pid)/map_files/\(hexadecimal(entry.range.lowerBound))-\(hexadecimal(entry.range.upperBound))"
            // Only root may look; for others the kernel's "(deleted)" has to do.
            guard let mapped = try? FileIdentity.of(path: link) else { return false }
            return (try? FileIdentity.of(path: entry.path)) != mapped
        }
    }

    /// - Parameter isOther: whether the mapped file is not the one that its path leads to.
    static func replacedFiles(_ mappings: Mappings, isOther: (Mappings.Entry) -> Bool) -> [String] {
        var seen: Set<String> = []
        var replaced: [String] = []
        for entry in mappings.entries where entry.access.contains("x") && entry.path.hasPrefix("/") {
            // QEMU keeps the code that TCG makes in a memory file.
            guard !entry.path.hasPrefix("/memfd:"), seen.insert(entry.path).inserted else { continue }
            if entry.path.hasSuffix(deleted) {
                replaced.append(String(entry.path.dropLast(deleted.count)))
            } else if isOther(entry) {
                replaced.append(entry.path)
            }
        }
        return replaced
    }

    private static func hexadecimal(_ address: UInt64) -> String { String(address, radix: 16) }
}
