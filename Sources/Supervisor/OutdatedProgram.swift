import Glibc
import Linux

/// Whether what a process executes is still what is installed.
enum OutdatedProgram {
    private static let deleted = " (deleted)"

    /// The program and libraries that the process executes and that have since been replaced or deleted, by their paths.
    /// Empty for a process that has ended.
    static func replacedFiles(_ view: ProcessView) -> [String] {
        guard let mappings = try? Mappings(reading: view.maps) else { return [] }
        return replacedFiles(mappings) { entry in
            guard let mapped = view.executed[entry.path] else { return false }
            return (try? FileIdentity.of(path: entry.path)) != mapped
        }
    }

    /// - Parameter isOther: whether the mapped file is not the one that its path leads to.
    static func replacedFiles(_ mappings: Mappings, isOther: (Mappings.Entry) -> Bool) -> [String] {
        var seen: Set<String> = []
        var replaced: [String] = []
        for entry in mappings.entries where isExecuted(entry) && seen.insert(entry.path).inserted {
            if entry.path.hasSuffix(deleted) {
                replaced.append(String(entry.path.dropLast(deleted.count)))
            } else if isOther(entry) {
                replaced.append(entry.path)
            }
        }
        return replaced
    }

    /// QEMU keeps the code that TCG makes in a memory file.
    static func isExecuted(_ entry: Mappings.Entry) -> Bool {
        entry.access.contains("x") && entry.path.hasPrefix("/") && !entry.path.hasPrefix("/memfd:")
    }
}
