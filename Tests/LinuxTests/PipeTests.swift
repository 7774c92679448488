import Glibc
import Linux
import Testing

struct PipeTests {
    /// Whoever opens it to read sees no end of input, however many writers have come and gone.
    @Test func aPipeOfOneDescriptorStaysOpen() throws {
        let pipe = try Pipe.create()
        #expect(Pipe.isPipe(pipe))
        #expect(fcntl(pipe.raw, F_GETFD) & FD_CLOEXEC != 0)
        let reader = try pipe.reopened(O_RDONLY | O_NONBLOCK)
        for text in ["first", "second"] {
            let writer = try pipe.reopened(O_WRONLY | O_NONBLOCK)
            #expect(write(writer.raw, text, text.utf8.count) == text.utf8.count)
        }
        var buffer = [UInt8](repeating: 0, count: 100)
        #expect(read(reader.raw, &buffer, buffer.count) == 11)
        #expect(read(reader.raw, &buffer, buffer.count) == -1 && errno == EAGAIN)
    }

    @Test func otherFilesAreNoPipes() throws {
        #expect(Pipe.isPipe(try UnixSocket.pair().0) == false)
        #expect(Pipe.isPipe(try MemoryFile.create("file", growth: .allowed)) == false)
    }

    /// What is there at once is found; a place that is to be left out never is.
    @Test func pollingTellsWhichIsReady() throws {
        let (full, empty) = (try Pipe.create(), try Pipe.create())
        #expect(write(full.raw, "x", 1) == 1)
        let ready = try Polling.wait(for: [.readable(empty.raw), .readable(full.raw), .none, .writable(empty.raw)])
        #expect(ready == [false, true, false, true])
        #expect(try Polling.wait(for: [.readable(empty.raw)], deadline: .milliseconds(1)) == [false])
    }
}
