import ArgumentParser
import Glibc
import Linux
import Varlink

struct Console: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what is kept of a guest's serial console, and what comes."
    )

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Print what is kept, and end.")
    var noFollow = false

    func run() throws {
        let (_, descriptors) = try GuestClient(guest.name).call(
            .getConsole,
            GuestInterface.NoParameters(),
            as: GuestInterface.NoParameters.self
        )
        guard let log = descriptors.first else {
            throw Exit.failure("the supervisor of guest '\(guest.name)' sent no console")
        }
        // Watched before the first read: what is written in between is not missed.
        let writes = try MemoryFile.writesWatch(log)
        var offset: UInt64 = 0
        while true {
            offset = try printNew(log, from: offset)
            if noFollow { return }
            try writes.waitAndDrain()
        }
    }

    /// Prints everything from `offset` on that is still kept; returns where it ended.
    private func printNew(_ log: Descriptor, from start: UInt64) throws -> UInt64 {
        var offset = start
        while offset < (try log.size()) {
            guard let kept = MemoryFile.firstData(log, from: offset) else { break }
            if kept > offset && start > 0 {
                throw Exit.failure("\(kept - offset) bytes came faster than they could be printed, and are gone")
            }
            offset = max(offset, kept)
            let bytes = try log.read(at: offset, count: 65_536)
            try writeAll(bytes)
            offset += UInt64(bytes.count)
        }
        return offset
    }

    private func writeAll(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress! + done, bytes.count - done) }
            if put < 0 && errno == EINTR { continue }
            if put < 0 { throw ExitCode(errno == EPIPE ? 0 : Exit.failure.rawValue) }
            done += put
        }
    }
}
