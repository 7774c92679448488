import Glibc
import Linux
import Testing

struct UnixSocketTests {
    private static func receive(_ socket: Descriptor, limit: Int = 65_536) throws -> ([UInt8], [Descriptor])? {
        guard case .bytes(let bytes, let descriptors) = try UnixSocket.receive(from: socket, limit: limit) else {
            return nil
        }
        return (Array(bytes), descriptors)
    }

    @Test func passesDescriptors() throws {
        let (first, second) = try UnixSocket.pair()
        let files = try (0..<4).map { try MemoryFile.create("file \($0)", growth: .allowed) }
        #expect(try UnixSocket.send([1, 2][...], attaching: files, to: first) == 2)
        let (bytes, descriptors) = try #require(try Self.receive(second))
        #expect(bytes == [1, 2])
        #expect(try descriptors.map { try $0.identity() } == files.map { try $0.identity() })
        for descriptor in descriptors {
            #expect(fcntl(descriptor.raw, F_GETFD) & FD_CLOEXEC != 0)
            #expect(!files.contains { $0.raw == descriptor.raw })
        }
    }

    @Test func moreThanThereIsRoomForAreNotSent() throws {
        let (first, second) = try UnixSocket.pair()
        let files = [Descriptor](repeating: first, count: UnixSocket.mostDescriptors + 1)
        let error = #expect(throws: SystemCallError.self) {
            try UnixSocket.send([1][...], attaching: files, to: first)
        }
        #expect(error?.code == EINVAL)
        guard case .nothingYet = try UnixSocket.receive(from: second) else {
            Issue.record("something was sent")
            return
        }
    }

    @Test func nothingAndTheEnd() throws {
        var (first, second): (Descriptor?, Descriptor) = try UnixSocket.pair()
        guard case .nothingYet = try UnixSocket.receive(from: second) else {
            Issue.record("nothing was sent")
            return
        }
        #expect(try UnixSocket.send([1, 2, 3][...], to: #require(first)) == 3)
        first = nil
        #expect(try #require(try Self.receive(second, limit: 2)).0 == [1, 2])
        #expect(try #require(try Self.receive(second, limit: 2)).0 == [3])
        guard case .endOfStream = try UnixSocket.receive(from: second) else {
            Issue.record("the stream has ended")
            return
        }
        // No SIGPIPE.
        let error = #expect(throws: SystemCallError.self) { try UnixSocket.send([1][...], to: second) }
        #expect(error?.code == EPIPE)
    }

    @Test func sendsWhatFits() throws {
        let (first, second) = try UnixSocket.pair()
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        let sent = try UnixSocket.send(bytes[...], to: first)
        #expect(sent > 0 && sent < bytes.count)
        #expect(try UnixSocket.send(bytes[...], to: first) >= 0)
        while try UnixSocket.send([7][...], to: first) > 0 {}
        #expect(try #require(try Self.receive(second)).0.count > 0)
    }

    @Test func listener() throws {
        let path = "/tmp/perdure-listen-\(getpid())"
        defer { unlink(path) }
        #expect(throws: SystemCallError.self) { try UnixSocket.connect(path) }
        _ = try UnixSocket.listen(path, mode: 0o600)
        // What a killed process has left at the path is in nobody's way.
        let listener = try UnixSocket.listen(path, mode: 0o600)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try UnixSocket.accept(listener) == nil)
        let client = try UnixSocket.connect(path)
        let accepted = try #require(try UnixSocket.accept(listener))
        #expect(try UnixSocket.peerUser(accepted) == geteuid())
        #expect(try UnixSocket.send([5][...], to: client) == 1)
        #expect(try #require(try Self.receive(accepted)).0 == [5])
        let long = "/tmp/" + String(repeating: "x", count: 200)
        #expect(throws: SystemCallError("listen", on: long, code: ENAMETOOLONG)) {
            try UnixSocket.listen(long, mode: 0o600)
        }
    }
}
