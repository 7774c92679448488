import Foundation

/// What can be seen in the sources only.
enum SourceText {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized

    /// Names of the journal's fields that are written in the program, but for the steps' times.
    static func journalFields() throws -> Set<String> {
        var names: Set<String> = []
        let files = FileManager.default.enumerator(at: root.appending(path: "Sources"), includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift", !file.path().contains("/Reports/") else { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /"(PERDURE_[A-Z_]+)"/) { names.insert(String(match.1)) }
        }
        // The environment of a supervisor under test, and no field.
        names.remove("PERDURE_HALT_FILE")
        return names
    }

    /// Names of the suites that boot a system.
    static func systemTestSuites() throws -> Set<String> {
        var names: Set<String> = []
        let files = FileManager.default.enumerator(
            at: root.appending(path: "Tests/SystemTests"),
            includingPropertiesForKeys: nil
        )
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift" else { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /struct ([A-Za-z]+Tests)/) { names.insert(String(match.1)) }
        }
        return names
    }

    static func catalog() throws -> String {
        try String(contentsOf: root.appending(path: "units/perdure.catalog"), encoding: .utf8)
    }

    /// The catalog's subjects by their MESSAGE_ID.
    static func catalogSubjects() throws -> [String: String] {
        let lines = try catalog().split(separator: "\n")
        let pairs = zip(lines, lines.dropFirst()).filter { $0.0.hasPrefix("-- ") }.map {
            (String($0.0.dropFirst("-- ".count)), String($0.1.dropFirst("Subject: ".count)))
        }
        return Dictionary(pairs) { first, _ in first }
    }
}
