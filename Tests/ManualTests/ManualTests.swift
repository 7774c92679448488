import ArgumentParser
import Foundation
import Lifecycle
import SystemTestSupport
import Testing

@testable import GuestDefinition
@testable import Supervisor
@testable import perdure

/// The manual says all that there is, and nothing else.
struct ManualTests {
    static let pages = ["perdure.1", "perdure.guest.5", "perdure@.service.8", "perdure-journal-fields.7"]

    // MARK: perdure.guest(5)

    @Test(arguments: SectionKind.allCases)
    func everyKeyIsDescribed(kind: SectionKind) throws {
        let page = try ManualPage("perdure.guest.5")
        let described = ManualPage.items("Va", in: page.section(kind.title)).flatMap { $0.split(separator: " , ") }
        #expect(described.map { $0.hasSuffix("=") ? String($0.dropLast()) : "\($0)?" }.sorted() == kind.keys.sorted())
    }

    @Test func sectionsAreThose() throws {
        let page = try ManualPage("perdure.guest.5")
        #expect(page.subsections(of: "SECTIONS AND KEYS").sorted() == SectionKind.allCases.map(\.title).sorted())
    }

    @Test func exampleDefinitionsAreValid() throws {
        let page = try ManualPage("perdure.guest.5")
        let examples = page.displays.filter { $0.hasPrefix("[") }
        #expect(examples.count >= 2)
        for example in examples {
            let loader = DefinitionLoader(directories: ["/etc/perdure"], files: ExampleFiles(definition: example))
            let (definition, warnings) = try loader.load("web")
            #expect(warnings.isEmpty)
            #expect(definition.hardware.isPlausible)
        }
    }

    // MARK: perdure(1)

    private static var commands: [any ParsableCommand.Type] {
        Perdure.configuration.subcommands.filter { $0.configuration.shouldDisplay }
    }

    /// The command, or the subcommands that it is made of.
    private static func leaves(_ command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
        let commands = command.configuration.subcommands
        return commands.isEmpty ? [command] : commands.flatMap(leaves)
    }

    @Test func everyCommandIsDescribed() throws {
        let page = try ManualPage("perdure.1")
        let described = ManualPage.items("Cm", in: page.section("COMMANDS")).map { String($0.prefix { $0 != " " }) }
        #expect(described.sorted() == ManualTests.commands.map { $0._commandName }.sorted())
    }

    @Test func everyOptionIsDescribed() throws {
        let items = ManualPage.items("Cm", in: try ManualPage("perdure.1").section("COMMANDS"))
        for command in ManualTests.commands {
            let help = ManualTests.leaves(command).map { Perdure.helpMessage(for: $0) }.joined(separator: "\n")
            let options = Set(help.matches(of: /--([a-z][a-z-]+)/).map { String($0.1) })
            let item = try #require(
                items.first { $0 == command._commandName || $0.hasPrefix("\(command._commandName) ") }
            )
            let described = Set(item.matches(of: /Fl Fl ([a-z-]+)/).map { String($0.1) })
            // What every command has.
            let general: Set = ["version", "help", "no-ask-password", "user"]
            // An option's help may speak of those of other programs.
            let named = Set(help.matches(of: /(?m)^  (?:-[a-z], )?--([a-z][a-z-]+)/).map { String($0.1) })
            #expect(described == named.subtracting(general), "\(command._commandName)")
            #expect(named.isSubset(of: options))
        }
    }

    /// Programs read what people read. A console is the guest's own words, and nobody reads a supervisor.
    @Test func everyCommandPrintsJSON() {
        let silent: Set = ["console", "supervise"]
        for command in ManualTests.commands.flatMap(ManualTests.leaves) where !silent.contains(command._commandName) {
            let help = Perdure.helpMessage(for: command)
            #expect(!help.matches(of: /(?m)^ +--json/).isEmpty, "\(command._commandName)")
        }
    }

    /// What the examples tell the reader to type is understood.
    @Test(arguments: pages)
    func exampleCommandsAreUnderstood(page: String) throws {
        for command in try ManualPage(page).commands where command.hasPrefix("perdure ") {
            let words = command.split(separator: " ").dropFirst().map(String.init)
            #expect(throws: Never.self, "\(command)") { try Perdure.parseAsRoot(words) }
        }
    }

    // MARK: perdure-journal-fields(7)

    @Test func everyFieldIsDescribed() throws {
        let page = try ManualPage("perdure-journal-fields.7")
        let described = ManualPage.items("Va", in: page.section("FIELDS")).flatMap { $0.components(separatedBy: " , ") }
        let steps = Step.allCases.map {
            "PERDURE_\($0.rawValue.uppercased().replacingOccurrences(of: "-", with: "_"))_USEC="
        }
        let fields = try SourceText.journalFields().map { "\($0)=" }
        #expect(described.sorted() == (fields + steps).sorted())
    }

    @Test func everyMessageIsDescribed() throws {
        let lines = Array(try ManualPage("perdure-journal-fields.7").section("MESSAGES"))
        var described: [String: String] = [:]
        for (item, text) in zip(lines, lines.dropFirst()) where item.hasPrefix(".It Sy ") {
            described[String(item.dropFirst(".It Sy ".count))] = String(
                text.dropFirst(".Va MESSAGE_ID= Ns ".count).dropLast(2)
            )
        }
        let messages = MessageID.allCases.map { ($0.event, $0.rawValue) }
        #expect(described == Dictionary(messages) { first, _ in first })
    }

    /// A field that nobody logs is shown as it stands.
    @Test func catalogNamesFieldsThatThereAre() throws {
        let fields = try SourceText.journalFields()
        let catalog = try SourceText.catalog()
        for match in catalog.matches(of: /@(PERDURE_[A-Z_]+)@/) { #expect(fields.contains(String(match.1))) }
    }

    @Test func everyMessageHasAdvice() throws {
        let page = ManualPage.directory.appending(path: "../troubleshooting.md").standardized
        let rows = try String(contentsOf: page, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("| `") }
        var subjects: [String: String] = [:]
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            try #require(cells.count == 3 && cells[2].hasSuffix("."), "\(row)")
            subjects[cells[0].trimmingCharacters(in: ["`"])] = cells[1]
        }
        let catalog = try SourceText.catalogSubjects().mapValues {
            $0.replacingOccurrences(of: "@PERDURE_GUEST@", with: "NAME")
                .replacingOccurrences(of: "@PERDURE_OPERATION@", with: "OPERATION")
        }
        #expect(subjects == catalog)
    }

    /// Each row of the table names tests that there are.
    @Test func survivalIsTested() throws {
        let page = ManualPage.directory.appending(path: "../what-survives.md").standardized
        let suites = Set(
            try String(contentsOf: page, encoding: .utf8).matches(of: /[A-Za-z]+Tests/).map { String($0.0) }
        )
        #expect(suites.count > 10)
        #expect(suites.subtracting(try SourceText.systemTestSuites()) == [])
    }

    // MARK: All

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/mandoc"), "mandoc is not installed"),
        arguments: pages
    )
    func pageIsWellFormed(page: String) throws {
        let path = ManualPage.directory.appending(path: page).path()
        let output = Pipe()
        let mandoc = Process()
        mandoc.executableURL = URL(filePath: "/usr/bin/mandoc")
        mandoc.arguments = ["-T", "lint", "-W", "warning", path]
        mandoc.standardOutput = output
        try mandoc.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        mandoc.waitUntilExit()
        #expect(mandoc.terminationStatus == 0 && said == "")
    }
}

/// One definition, in a system where every file that it names is there.
private struct ExampleFiles: DefinitionFiles {
    let definition: String

    func read(_ path: String, limit: Int) -> [UInt8]? {
        path == "/etc/perdure/web.guest" ? Array(definition.utf8) : nil
    }
    func names(in directory: String) -> [String] { [] }
    func status(of path: String) -> FileStatus? {
        let kind: FileStatus.Kind = path.hasPrefix("/dev/") ? .blockDevice : .regular
        return FileStatus(kind: kind, identity: FileStatus.Identity(device: 1, inode: UInt64(path.hashValue.magnitude)))
    }
}
