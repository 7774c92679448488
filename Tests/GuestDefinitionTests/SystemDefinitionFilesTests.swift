import Foundation
import GuestDefinition
import Testing

/// Each test has a directory of its own.
final class SystemDefinitionFilesTests {
    private let files = SystemDefinitionFiles()
    private let directory = FileManager.default.temporaryDirectory.appending(path: "perdure-\(UUID())").path()

    init() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func write(_ text: String, _ path: String) {
        #expect(FileManager.default.createFile(atPath: path, contents: Data(text.utf8)))
    }

    @Test func readsUpToTheLimit() throws {
        write("12345", "\(directory)/a")
        #expect(try files.read("\(directory)/a", limit: 5) == Array("12345".utf8))
        #expect(throws: FileProblem("has more than 4 bytes, which is too much for a definition")) {
            try files.read("\(directory)/a", limit: 4)
        }
        #expect(try files.read("\(directory)/none", limit: 4) == nil)
    }

    @Test func refusesWhatIsNoFile() throws {
        #expect(throws: FileProblem("is a directory, not a file")) { try files.read(directory, limit: 4) }
        #expect(mkfifo("\(directory)/fifo", 0o600) == 0)
        #expect(throws: FileProblem("is not a regular file")) { try files.read("\(directory)/fifo", limit: 4) }
        #expect(throws: FileProblem("is not a regular file")) { try files.read("/dev/zero", limit: 4) }
        #expect(symlink("\(directory)/none", "\(directory)/dangling") == 0)
        #expect(
            throws: FileProblem("is a link to a file that does not exist; restore that file or remove the link")
        ) {
            try files.read("\(directory)/dangling", limit: 4)
        }
        write("", "\(directory)/file")
        #expect(throws: FileProblem("cannot be opened: Not a directory")) {
            try files.read("\(directory)/file/below", limit: 4)
        }
    }

    @Test func tellsWhatIsAtAPath() throws {
        write("", "\(directory)/a")
        write("", "\(directory)/b")
        #expect(symlink("\(directory)/a", "\(directory)/link") == 0)
        let status = try #require(try files.status(of: "\(directory)/a"))
        #expect(status.kind == .regular)
        #expect(try files.status(of: "\(directory)/link") == status)
        #expect(try files.status(of: "\(directory)/b")?.identity != status.identity)
        #expect(try files.status(of: directory)?.kind == .directory)
        #expect(try files.status(of: "/dev/null")?.kind == .other)
        #expect(try files.status(of: "\(directory)/none") == nil)
        #expect(try Set(files.names(in: directory)).isSuperset(of: ["a", "b", "link"]))
        #expect(try files.names(in: "\(directory)/none").isEmpty)
        #expect(throws: FileProblem("cannot be listed: Not a directory")) { try files.names(in: "\(directory)/a") }
    }

    @Test func aGuestCanBeLoadedListedAndMasked() throws {
        for name in ["etc", "lib", "etc/demo.guest.d", "lib/demo.guest.d"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(name)",
                withIntermediateDirectories: true
            )
        }
        write("", "\(directory)/vmlinuz")
        write("[RAM main]\nSize=1G\n[Kernel]\nImage=\(directory)/vmlinuz\n", "\(directory)/lib/demo.guest")
        write("[CPU]\nCount=2\n", "\(directory)/lib/demo.guest.d/10-cpu.conf")
        write("[RAM main]\nSize=2G\n", "\(directory)/etc/demo.guest.d/20-ram.conf")
        let loader = DefinitionLoader(directories: ["\(directory)/etc", "\(directory)/lib"])
        #expect(loader.list() == ["demo"])
        let definition = try loader.load("demo").0
        #expect(definition.hardware.cpuCount == 2)
        #expect(definition.hardware.ram == [RAMBlock(id: "main", size: 2 << 30)])
        #expect(
            definition.files.map { $0.replacing(directory, with: "") } == [
                "/lib/demo.guest", "/lib/demo.guest.d/10-cpu.conf", "/etc/demo.guest.d/20-ram.conf",
            ]
        )
        #expect(symlink("/dev/null", "\(directory)/etc/demo.guest.d/10-cpu.conf") == 0)
        #expect(try loader.load("demo").0.hardware.cpuCount == 1)
        #expect(symlink("/dev/null", "\(directory)/etc/demo.guest") == 0)
        #expect(loader.list().isEmpty)
        #expect(throws: DefinitionError.self) { try loader.load("demo") }
    }
}
