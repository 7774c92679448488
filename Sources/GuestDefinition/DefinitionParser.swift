/// Reads one file: which sections and keys there are. What the values mean is not looked at.
struct DefinitionParser {
    private var sections: [Section] = []
    /// Index into `sections`; nil in a section that is ignored or not known, and before the first.
    private var current: Int?
    /// Until the first section, or the first line that is reported because it should be in one.
    private var isBeforeFirstSection = true
    private var indices: [SectionName: Int] = [:]

    /// The sections of a file, in order of their first appearance.
    static func parse(_ bytes: [UInt8], path: String, into problems: inout Problems) -> [Section] {
        var parser = DefinitionParser()
        for line in LogicalLines.read(bytes, path: path, into: &problems) {
            if line.scalars.first == "[" {
                parser.header(line, &problems)
            } else {
                parser.assignment(line, &problems)
            }
        }
        // A section that is there twice is reported; the first one stands.
        return parser.indices.values.sorted().map { parser.sections[$0] }
    }

    private mutating func header(_ line: LogicalLine, _ problems: inout Problems) {
        isBeforeFirstSection = false
        current = nil
        let end = line.scalars.firstIndex(of: "]") ?? line.scalars.count
        let rest = line.scalars.indices.dropFirst(end + 1).drop { line.scalars[$0].isBlank }
        if end == line.scalars.count {
            problems.add(
                "the section header \(quoted(String(line.scalars))) has no ']' at its end",
                at: line.place(at: 0)
            )
        } else if !rest.isEmpty {
            problems.add(
                "\(quoted(String(rest.map { line.scalars[$0] }))) follows the section header; begin a new line for it",
                at: line.place(at: rest.startIndex)
            )
        }
        let words = line.scalars.indices[1..<end].split { line.scalars[$0].isBlank }
        let kindName = String((words.first ?? 1..<1).map { line.scalars[$0] })
        if kindName.hasPrefix("X-") { return }
        guard let kind = kind(named: kindName, line, &problems) else { return }
        let idRange = words.count > 1 ? words[1].lowerBound..<words[words.count - 1].upperBound : end..<end
        let id = String(line.scalars[idRange])
        guard
            line.isDamaged || checkID(id, of: kind, at: line.place(at: idRange.lowerBound), &problems)
        else { return }
        begin(SectionName(kind: kind, id: kind.isNamed ? id : ""), at: line.place(at: 0), &problems)
    }

    private func kind(named name: String, _ line: LogicalLine, _ problems: inout Problems) -> SectionKind? {
        if let kind = SectionKind(rawValue: name) { return kind }
        guard !name.isEmpty else {
            problems.add("the section header names no section", at: line.place(at: 0))
            return nil
        }
        if let reason = UnsupportedSection.reason(name) {
            problems.add("[\(name)] is not supported: \(reason)", at: line.place(at: 0))
            return nil
        }
        // Going on with the kind that was meant spares follow-up errors about sections and keys that seem to lack.
        let meant = nearest(to: name, in: SectionKind.allCases.map(\.rawValue)).flatMap(SectionKind.init)
        let hint =
            meant.map { "did you mean '\($0.rawValue)'?" }
            ?? "the sections are \(SectionKind.allCases.map(\.title).joined(separator: ", "))"
        if !line.isDamaged {
            problems.add("unknown section \(quoted(name)); \(hint)", at: line.place(at: 0))
        }
        return meant
    }

    private func checkID(_ id: String, of kind: SectionKind, at place: Place, _ problems: inout Problems) -> Bool {
        switch (kind.isNamed, id.isEmpty) {
        case (true, true):
            let example = kind == .ram ? "main" : kind == .network ? "lan" : "root"
            problems.add("[\(kind.rawValue)] needs an ID, as in [\(kind.rawValue) \(example)]", at: place)
            return false
        case (true, false):
            if let problem = kind.problem(withID: id) { problems.add(problem, at: place) }
        case (false, false):
            problems.add("[\(kind.rawValue)] takes no ID, because there is only one; remove \(quoted(id))", at: place)
        case (false, true):
            break
        }
        return true
    }

    private mutating func begin(_ name: SectionName, at place: Place, _ problems: inout Problems) {
        if let first = indices[name] {
            guard name.kind.isNamed else {
                current = first
                return
            }
            problems.add(
                "\(name.title) is here twice, first in line \(sections[first].place.line); give one of them another ID",
                at: place
            )
        } else {
            indices[name] = sections.count
        }
        current = sections.count
        sections.append(Section(name: name, place: place))
    }

    private mutating func assignment(_ line: LogicalLine, _ problems: inout Problems) {
        guard !isBeforeFirstSection else {
            problems.add("this line is in no section; put a header such as [Guest] above it", at: line.place(at: 0))
            isBeforeFirstSection = false
            return
        }
        guard let current else { return }
        guard let equals = line.scalars.firstIndex(of: "=") else {
            if !line.isDamaged {
                problems.add("\(quoted(String(line.scalars))) is no assignment; write Key=Value", at: line.place(at: 0))
            }
            return
        }
        let keyEnd = line.scalars[..<equals].lastIndex { !$0.isBlank }.map { $0 + 1 } ?? 0
        let key = String(line.scalars[..<keyEnd])
        if key.hasPrefix("X-") { return }
        let valueStart = line.scalars[(equals + 1)...].firstIndex { !$0.isBlank } ?? line.scalars.count
        guard check(key, inSection: current, line, &problems) else { return }
        guard !line.isDamaged else {
            sections[current].spoilt.insert(key)
            return
        }
        let assignment = Assignment(value: String(line.scalars[valueStart...]), place: line.place(at: valueStart))
        // An empty assignment takes back what came before it, so what follows is no duplicate.
        if let first = sections[current].assignments[key], !first.value.isEmpty, !assignment.value.isEmpty {
            problems.add(
                "\(quoted(key + "=")) is set twice in \(sections[current].name.title), first in line \(first.place.line); "
                    + "remove one of them",
                at: line.place(at: 0)
            )
            return
        }
        sections[current].assignments[key] = assignment
    }

    /// Whether a section has such a key.
    private mutating func check(
        _ key: String,
        inSection index: Int,
        _ line: LogicalLine,
        _ problems: inout Problems
    ) -> Bool {
        let name = sections[index].name
        let kind = name.kind
        if kind.keys.contains(key) { return true }
        guard !key.isEmpty else {
            problems.add("there is no key before the '='; write Key=Value", at: line.place(at: 0))
            return false
        }
        guard !line.isDamaged else { return false }
        let others = SectionKind.allCases.filter { $0.keys.contains(key) }
        let hint: String
        if !others.isEmpty {
            hint = "it belongs to \(others.map(\.title).joined(separator: " or "))"
        } else if let meant = nearest(to: key, in: kind.keys) {
            hint = "did you mean '\(meant)'?"
            sections[index].spoilt.insert(meant)
        } else {
            hint = "the keys of \(kind.title) are \(kind.keys.map { "'\($0)'" }.joined(separator: ", "))"
        }
        problems.add("unknown key \(quoted(key)) in \(name.title); \(hint)", at: line.place(at: 0))
        return false
    }
}
