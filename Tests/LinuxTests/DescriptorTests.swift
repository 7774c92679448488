import Glibc
import Linux
import Testing

struct DescriptorTests {
    private static func isOpen(_ raw: Int32) -> Bool { fcntl(raw, F_GETFD) >= 0 }

    /// What the descriptor refers to; nil where the number is free. The number itself may be used again at once.
    private static func target(_ raw: Int32) -> UInt64? {
        var status = stat()
        return fstat(raw, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    @Test func closesWithTheLastReference() throws {
        var file: Descriptor? = try MemoryFile.create("closed", growth: .allowed)
        let raw = try #require(file?.raw)
        let inode = Self.target(raw)
        var second = file
        file = nil
        #expect(Self.target(raw) == inode)
        #expect(second?.raw == raw)
        second = nil
        #expect(Self.target(raw) != inode)
    }

    @Test func everyDescriptorIsCloseOnExec() throws {
        let file = try MemoryFile.create("cloexec", growth: .allowed)
        let (first, second) = try UnixSocket.pair()
        let opened = try Descriptor.open("/dev/null", O_RDONLY)
        let signals = try Signals.descriptor(for: [SIGUSR2])
        let writes = try FileWatch.writes(to: file)
        for descriptor in [file, first, second, opened, try file.reopened(O_RDONLY), signals, writes.descriptor] {
            #expect(fcntl(descriptor.raw, F_GETFD) & FD_CLOEXEC != 0)
        }
    }

    @Test func reopenedHasItsOwnOffsetAndMode() throws {
        let file = try MemoryFile.create("reopened", growth: .allowed)
        try file.write(Array("hello".utf8), at: 0)
        let reader = try file.reopened(O_RDONLY)
        #expect(lseek(file.raw, 3, Int32(SEEK_SET)) == 3)
        #expect(lseek(reader.raw, 0, Int32(SEEK_CUR)) == 0)
        #expect(try reader.read(at: 0, count: 10) == Array("hello".utf8))
        #expect(throws: SystemCallError.self) { try reader.write([1], at: 0) }
        #expect(try reader.identity() == file.identity())
        #expect(throws: SystemCallError.self) { try file.reopened(O_WRONLY).read(at: 0, count: 1) }
    }

    @Test func readsAndWritesAtOffsets() throws {
        let file = try MemoryFile.create("offsets", growth: .allowed)
        try file.write([1, 2, 3], at: 10)
        #expect(try file.size() == 13)
        #expect(try file.read(at: 9, count: 3) == [0, 1, 2])
        #expect(try file.read(at: 12, count: 100) == [3])
        #expect(try file.read(at: 13, count: 100).isEmpty)
        #expect(try file.read(at: 0, count: 0).isEmpty)
        try file.write([], at: 1_000)
        #expect(try file.size() == 13)
    }

    @Test func errorsNameTheObject() {
        let error = #expect(throws: SystemCallError.self) { try Descriptor.open("/nonexistent/x", O_RDONLY) }
        #expect(error?.code == ENOENT)
        #expect(error.map { "\($0)" } == "open '/nonexistent/x': No such file or directory")
    }

    @Test func identityTellsAReplacedFile() throws {
        let path = "/tmp/perdure-identity-\(getpid())"
        defer { unlink(path) }
        func write(_ text: String) throws {
            let file = try Descriptor(owning: #require(Optional(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600))))
            try file.write(Array(text.utf8), at: 0)
        }
        try write("a")
        let before = try FileIdentity.of(path: path)
        #expect(try FileIdentity.of(path: path) == before)
        #expect(try Descriptor.open(path, O_RDONLY).identity() == before)
        unlink(path)
        try write("b")
        #expect(try FileIdentity.of(path: path) != before)
    }

    @Test func nonBlocking() throws {
        let (first, _) = try UnixSocket.pair()
        try first.setNonBlocking()
        #expect(fcntl(first.raw, F_GETFL) & O_NONBLOCK != 0)
    }
}
