import Testing

@testable import GuestDefinition

struct ReplacedFileTests {
    private static let main = "/etc/perdure/web.guest"
    private static let dropIn = "/etc/perdure/web.guest.d/override.conf"
    private static let kernel = "[Kernel]\nImage=/boot/vmlinuz\n"

    private func load(_ path: String, _ text: String, over files: MemoryFiles) throws -> GuestDefinition {
        let replaced = ReplacedFile(path, with: Array(text.utf8), in: files)
        return try DefinitionLoader(files: replaced).load("web").0
    }

    @Test func aDropInThatIsNotThereYetCounts() throws {
        let files = MemoryFiles([Self.main: "[RAM main]\nSize=64M\n\(Self.kernel)"])
        #expect(try load(Self.dropIn, "[RAM main]\nSize=128M\n", over: files).hardware.ram.map(\.size) == [128 << 20])
        #expect(try DefinitionLoader(files: files).load("web").0.hardware.ram.map(\.size) == [64 << 20])
    }

    @Test func whatIsThereCountsNoMore() throws {
        let files = MemoryFiles([
            Self.main: "[RAM main]\nSize=64M\n\(Self.kernel)", Self.dropIn: "[RAM main]\nSize=128M\n",
        ])
        #expect(try load(Self.dropIn, "# nothing\n", over: files).hardware.ram.map(\.size) == [64 << 20])
        let changed = try load(Self.main, "[RAM main]\nSize=96M\n[CPU]\nCount=3\n\(Self.kernel)", over: files)
        #expect(changed.hardware.ram.map(\.size) == [128 << 20] && changed.hardware.cpuCount == 3)
    }

    /// What is wrong is said of the file that is to be written, not of the one that is edited.
    @Test func mistakesAreWhereTheyWillBe() {
        let files = MemoryFiles([Self.main: "[RAM main]\nSize=64M\n\(Self.kernel)"])
        let error = #expect(throws: DefinitionError.self) { try load(Self.dropIn, "\n[CPU]\nCuont=3\n", over: files) }
        #expect(error?.description.contains("\(Self.dropIn):3:1: ") == true)
    }

    @Test func tooLongIsTooLong() {
        let files = MemoryFiles([Self.main: "[RAM main]\nSize=64M\n\(Self.kernel)"])
        let text = String(repeating: "#", count: DefinitionLoader.maximumFileSize + 1)
        let error = #expect(throws: DefinitionError.self) { try load(Self.dropIn, text, over: files) }
        #expect(error?.description.contains("too much for a definition") == true)
    }
}
