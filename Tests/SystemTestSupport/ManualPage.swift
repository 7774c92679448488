import Foundation

/// A manual page's source in mdoc(7).
public struct ManualPage {
    public static let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/man")
        .standardized

    public let lines: [String]

    public init(_ name: String) throws {
        let path = ManualPage.directory.appending(path: name)
        lines = try String(contentsOf: path, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
    }

    /// The lines of a section or subsection, by its title.
    public func section(_ title: String) -> ArraySlice<String> {
        let headings: Set = [".Sh \(title)", ".Ss \(title)"]
        guard let begin = lines.firstIndex(where: headings.contains) else { return [] }
        // A section ends with the next one; a subsection with that, too.
        let ends = lines[begin].hasPrefix(".Sh") ? [".Sh "] : [".Sh ", ".Ss "]
        let rest = lines[(begin + 1)...]
        return rest.prefix { line in !ends.contains { line.hasPrefix($0) } }
    }

    /// What `.It MACRO` defines: the words behind it.
    public static func items(_ macro: String, in lines: some Sequence<String>) -> [String] {
        lines.filter { $0.hasPrefix(".It \(macro) ") }.map { String($0.dropFirst(".It \(macro) ".count)) }
    }

    /// Titles of the subsections of a section.
    public func subsections(of title: String) -> [String] {
        section(title).filter { $0.hasPrefix(".Ss ") }.map { String($0.dropFirst(4)) }
    }

    /// Every literal display, as it is shown.
    public var displays: [String] {
        var found: [[String]] = []
        var isInside = false
        for line in lines {
            if line.hasPrefix(".Bd -literal") {
                isInside = true
                found.append([])
            } else if line == ".Ed" {
                isInside = false
            } else if isInside {
                found[found.count - 1].append(line.replacingOccurrences(of: "\\e", with: "\\"))
            }
        }
        return found.map { $0.joined(separator: "\n") }
    }

    /// The commands of its examples, which begin with `# `.
    public var commands: [String] {
        displays.flatMap { $0.split(separator: "\n") }.filter { $0.hasPrefix("# ") }.map { String($0.dropFirst(2)) }
    }
}
