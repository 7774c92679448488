import Glibc
import Linux
import Testing

struct MemoryFileTests {
    private static func blocks(_ file: Descriptor) -> Int {
        var status = stat()
        return fstat(file.raw, &status) == 0 ? Int(status.st_blocks) : -1
    }

    @Test func sealedFilesKeepTheirSize() throws {
        let file = try MemoryFile.create("sealed", size: 8192, growth: .fixed)
        #expect(MemoryFile.isSealed(file))
        for size: UInt64 in [0, 4096, 16384] {
            let error = #expect(throws: SystemCallError.self) { try MemoryFile.resize(file, to: size, name: "sealed") }
            #expect(error?.code == EPERM)
        }
        #expect(throws: SystemCallError.self) { try file.write([1], at: 8192) }
        #expect(throws: SystemCallError.self) { try MemoryFile.resize(file.reopened(O_RDWR), to: 0, name: "sealed") }
        try file.write([1], at: 8191)
        #expect(try file.size() == 8192)
    }

    @Test func othersGrow() throws {
        let file = try MemoryFile.create("grows", growth: .allowed)
        #expect(!MemoryFile.isSealed(file))
        try MemoryFile.resize(file, to: 1 << 30, name: "grows")
        #expect(try file.size() == 1 << 30)
        #expect(Self.blocks(file) == 0)
        #expect(!MemoryFile.isSealed(try Descriptor.open("/dev/null", O_RDONLY)))
    }

    @Test func impossibleSizes() {
        for size in [UInt64.max, UInt64(Int64.max) + 1] {
            let error = #expect(throws: SystemCallError.self) {
                try MemoryFile.create("huge", size: size, growth: .fixed)
            }
            #expect(error?.code == EFBIG)
        }
        #expect(throws: SystemCallError.self) {
            try MemoryFile.create(String(repeating: "x", count: 300), growth: .fixed)
        }
    }

    /// A no-exec seal would make it read-only once a kernel has handed it over.
    @Test func isExecutable() throws {
        let file = try MemoryFile.create("executable", growth: .fixed)
        var status = stat()
        #expect(fstat(file.raw, &status) == 0 && status.st_mode & 0o111 != 0)
    }

    @Test func discardGivesMemoryBack() throws {
        let file = try MemoryFile.create("discard", growth: .allowed)
        try file.write([UInt8](repeating: 7, count: 64 << 10), at: 0)
        let before = Self.blocks(file)
        try MemoryFile.discard(file, first: 48 << 10)
        #expect(Self.blocks(file) * 4 == before)
        #expect(try file.size() == 64 << 10)
        #expect(try file.read(at: 0, count: 4096).allSatisfy { $0 == 0 })
        #expect(try file.read(at: 48 << 10, count: 4096).allSatisfy { $0 == 7 })
        #expect(MemoryFile.firstData(file, from: 0) == 48 << 10)
        #expect(MemoryFile.firstData(file, from: 50 << 10) == 50 << 10)
        #expect(MemoryFile.firstData(file, from: 64 << 10) == nil)
    }

    @Test func writesAreSeen() async throws {
        let loop = EventLoop(label: "test")
        let file = try MemoryFile.create("watched", growth: .allowed)
        let watch = try FileWatch.writes(to: file)
        await #expect(throws: EventLoop.DeadlinePassed.self) {
            try await loop.readable(watch.descriptor, deadline: .milliseconds(20))
        }
        for byte: UInt8 in 1...2 {
            try file.reopened(O_WRONLY).write([byte], at: 0)
            try await loop.readable(watch.descriptor, deadline: .seconds(20))
            watch.drain()
        }
        await #expect(throws: EventLoop.DeadlinePassed.self) {
            try await loop.readable(watch.descriptor, deadline: .milliseconds(20))
        }
    }
}
