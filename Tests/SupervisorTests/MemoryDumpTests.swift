import Foundation
import Linux
import Testing

@testable import Supervisor

@Suite final class MemoryDumpTests {
    private let directory = NSTemporaryDirectory() + "dump-\(UUID().uuidString)"
    private let main: Descriptor
    private let more: Descriptor
    private static let size: UInt64 = 64 << 20

    init() throws {
        main = try MemoryFile.create("ram.main", size: Self.size, growth: .fixed)
        more = try MemoryFile.create("ram.more", size: Self.size, growth: .fixed)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func dump(retain: Int = 2) -> MemoryDump {
        MemoryDump(
            guest: "web",
            directory: directory + "/a/b",
            retain: retain,
            ranges: [
                GuestMemoryRange(address: 0, length: Self.size, block: "main", offset: 0),
                GuestMemoryRange(address: Self.size, length: 16 << 20, block: "more", offset: 0),
                GuestMemoryRange(address: 4 << 30, length: 48 << 20, block: "more", offset: 16 << 20),
            ],
            files: ["main": main, "more": more],
            note: "Why."
        )
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory + "/a/b").sorted()
    }

    private func number(_ file: Descriptor, at offset: UInt64, bytes: Int) throws -> UInt64 {
        try file.read(at: offset, count: bytes).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads by guest-physical address, as gdb does.
    private func read(_ file: Descriptor, address: UInt64, count: Int) throws -> [UInt8] {
        let entries = Int(try number(file, at: 56, bytes: 2))
        for index in 0..<entries {
            let entry = UInt64(64 + 56 * index)
            guard try number(file, at: entry, bytes: 4) == 1 else { continue }
            let start = try number(file, at: entry + 24, bytes: 8)
            #expect(try number(file, at: entry + 16, bytes: 8) == start)
            let length = try number(file, at: entry + 32, bytes: 8)
            guard address >= start, address < start + length else { continue }
            return try file.read(at: try number(file, at: entry + 8, bytes: 8) + (address - start), count: count)
        }
        Issue.record("no segment has \(address)")
        return []
    }

    @Test func whatWasInRAMIsWhereTheGuestHadIt() throws {
        try main.write([1, 2, 3], at: 0)
        try main.write([4], at: Self.size - 1)
        try more.write([5], at: 0)
        try more.write([6], at: 16 << 20)
        try more.write([7], at: Self.size - 1)
        var told: [UInt64] = []
        let result = try dump().write(time: 0) { told.append($0) }
        #expect(result.path == directory + "/a/b/web.19700101T000000Z.core")
        #expect(result.bytes == 2 * Self.size)
        #expect(!told.isEmpty)

        let file = try Descriptor.open(result.path, O_RDONLY)
        #expect(try read(file, address: 0, count: 4) == [1, 2, 3, 0])
        #expect(try read(file, address: Self.size - 1, count: 1) == [4])
        #expect(try read(file, address: Self.size, count: 1) == [5])
        #expect(try read(file, address: 4 << 30, count: 1) == [6])
        #expect(try read(file, address: 4 << 30 + 48 << 20 - 1, count: 1) == [7])

        let attributes = try FileManager.default.attributesOfItem(atPath: result.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        var status = stat()
        #expect(stat(result.path, &status) == 0)
        #expect(status.st_size == 2 * Int(Self.size) + 4096)
        #expect(status.st_blocks * 512 < 1 << 20, "what was never written takes no room")
    }

    @Test func oldOnesGo() throws {
        try FileManager.default.createDirectory(atPath: directory + "/a/b", withIntermediateDirectories: true)
        let others = ["web.core", "web.2.20200101T000000Z.core", "other.20200101T000000Z.core", "web.2020T0Z.core"]
        for name in others + ["web.partial"] {
            try Data().write(to: URL(filePath: directory + "/a/b/" + name))
        }
        for day in 0..<4 { _ = try dump().write(time: day * 86_400) { _ in } }
        let kept = ["web.19700103T000000Z.core", "web.19700104T000000Z.core"]
        #expect(try names() == (kept + others).sorted())
        _ = try dump(retain: 1).write(time: 4 * 86_400) { _ in }
        #expect(try names() == (["web.19700105T000000Z.core"] + others).sorted())
    }

    @Test func tooLittleRoomIsSaidAndNothingDeleted() throws {
        _ = try dump().write(time: 0) { _ in }
        let dumps = DumpDirectory(path: directory + "/a/b", guest: "web")
        let error = #expect(throws: MemoryDump.Failure.self) { try dumps.makeRoom(for: 1 << 60, retaining: 0) }
        #expect(error?.description.contains("DumpDirectory=") == true)
        #expect(try names() == ["web.19700101T000000Z.core"])
    }

    @Test func aBlockThatIsLostIsSaid() throws {
        var dump = dump()
        dump.files["more"] = nil
        #expect(throws: MemoryDump.Failure.self) { try dump.write(time: 0) { _ in } }
        #expect(try names() == [])
    }

    @Test func theHeaderIsWholePages() {
        var dump = dump()
        #expect(dump.header.count == 4096)
        dump.note = String(repeating: "é", count: 5000)
        #expect(dump.header.count == 4096)
        dump.ranges = Array(repeating: dump.ranges[0], count: 256)
        #expect(dump.header.count % 4096 == 0 && dump.header.count > 256 * 56)
    }
}
