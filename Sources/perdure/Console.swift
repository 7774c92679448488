import ArgumentParser
import Glibc
import Linux
import Varlink

struct Console: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what is kept of a guest's serial console, and what comes until the guest is off."
    )

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Print what is kept, and end.")
    var noFollow = false

    func run() throws {
        var session = try ConsoleSession(guest.name)
        while true {
            try session.printNew()
            if noFollow { return }
            let changed = try Descriptor.waitForAny([session.writes.descriptor, session.client.socket])
            session.writes.drain()
            if !changed[1] { continue }
            // The supervisor has ended; what the guest writes until it is off is there all the same.
            try session.printNew()
            guard let next = try ConsoleSession.afterSupervisor(of: session) else { return try session.printNew() }
            session = next
        }
    }
}

/// A console's output, and the supervisor that it was got from.
struct ConsoleSession {
    let client: GuestClient
    let log: Descriptor
    let writes: FileWatch
    private var offset: UInt64 = 0

    init(_ guest: String) throws {
        client = try GuestClient(guest)
        let (_, descriptors) = try client.call(
            .getConsole,
            GuestInterface.NoParameters(),
            as: GuestInterface.NoParameters.self
        )
        guard let log = descriptors.first else {
            throw Exit.failure("the supervisor of guest '\(guest)' sent no console")
        }
        self.log = log
        // Watched before the first read: what is written in between is not missed.
        writes = try FileWatch.writes(to: log)
    }

    /// Waits for the next supervisor, and goes on where the last one's session was; nil when the guest is off.
    static func afterSupervisor(of last: ConsoleSession) throws -> ConsoleSession? {
        let directory = GuestClient.directory(of: last.client.guest)
        while true {
            // systemd removes the directory with a stop, and keeps it over a restart. Watched before each try: a
            // supervisor that comes in between is not missed.
            guard let changes = try? FileWatch.directory(directory) else { return nil }
            if var next = try? ConsoleSession(last.client.guest) {
                if try next.log.identity().inode == last.log.identity().inode { next.offset = last.offset }
                return next
            }
            _ = try Descriptor.waitForAny([changes.descriptor])
        }
    }

    /// Prints everything new that is still kept.
    mutating func printNew() throws {
        while offset < (try log.size()) {
            guard let kept = MemoryFile.firstData(log, from: offset) else { break }
            if kept > offset && offset > 0 {
                throw Exit.failure("\(kept - offset) bytes came faster than they could be printed, and are gone")
            }
            offset = max(offset, kept)
            let bytes = try log.read(at: offset, count: 65_536)
            try writeAll(bytes)
            offset += UInt64(bytes.count)
        }
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
