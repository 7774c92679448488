import ArgumentParser
import Glibc
import Linux
import Terminal
import Varlink

struct Console: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk to a guest over its serial console.",
        discussion: """
            It prints what the guest writes until the guest is off, and passes on what is typed or comes from standard \
            input. It stays attached while the guest's VM process or its supervisor is replaced; what is typed \
            meanwhile waits. On a terminal, \(EscapeSequence.name) ends it.

            On a terminal it begins with the last \(Console.shortTail) lines that are kept, otherwise with all of them.
            """
    )

    fileprivate static let shortTail = 10

    @OptionGroup var guest: GuestArgument
    @Option(
        defaultAsFlag: Console.shortTail,
        help: ArgumentHelp(
            "Begin with the last lines that are kept, \(Console.shortTail) unless told otherwise.",
            valueName: "lines"
        )
    )
    var tail: Int?
    @Flag(help: "Print what is kept, and end.")
    var noFollow = false
    @Flag(help: "Only watch: leave standard input alone.")
    var noInput = false

    func validate() throws {
        if let tail, tail < 0 { throw ValidationError("'--tail' takes the number of lines to begin with.") }
    }

    func run() throws {
        let session = try ConsoleSession(guest.name)
        let isInteractive = !noFollow && !noInput && RawTerminal.isTerminal(STDIN_FILENO)
        let lines = tail ?? (isInteractive ? Console.shortTail : nil)
        if let lines { try session.skip(toLast: lines) }
        if noFollow { return try session.printNew(to: ConsoleOutput()) }
        try ConsoleAttachment(session, guest: guest.name, isInteractive: isInteractive, takesInput: !noInput).run()
    }
}

/// A guest's console: the file that its output is in, and the pipe that its input comes from.
final class ConsoleSession {
    let log: Descriptor
    /// Nil where the guest's VM process has none yet.
    private(set) var input: Descriptor?
    let writes: FileWatch
    private var offset: UInt64 = 0

    /// The supervisor that both were got from.
    private(set) var client: GuestClient

    init(_ guest: String, deadline: Duration? = nil) throws {
        client = try GuestClient(guest, deadline: deadline)
        let (_, descriptors) = try client.call(
            .getConsole,
            GuestInterface.NoParameters(),
            as: GuestInterface.NoParameters.self
        )
        guard let log = descriptors.first else {
            throw Exit.failure("the supervisor of guest '\(guest)' sent no console")
        }
        self.log = log
        input = descriptors.dropFirst().first
        // Watched before the first read: what is written in between is not missed.
        writes = try FileWatch.writes(to: log)
    }

    /// Goes on with what another supervisor has of the same console.
    /// - Returns: false where it is another console, of a guest that has been started anew.
    func goOn(with next: ConsoleSession) throws -> Bool {
        guard try next.log.identity().isSameFile(as: log.identity()) else { return false }
        (client, input) = (next.client, next.input ?? input)
        return true
    }

    /// Leaves all but the last `lines` lines out.
    func skip(toLast lines: Int) throws {
        let end = try log.size()
        guard let kept = MemoryFile.firstData(log, from: 0) else { return }
        var counted = 0
        var position = end
        while position > kept {
            let start = max(kept, position < 65_536 ? 0 : position - 65_536)
            let bytes = try log.read(at: start, count: Int(position - start))
            for index in bytes.indices.reversed() where bytes[index] == UInt8(ascii: "\n") {
                let isLast = start + UInt64(index) + 1 == end
                if !isLast { counted += 1 }
                if counted == lines || lines == 0 {
                    offset = start + UInt64(index) + 1
                    return
                }
            }
            position = start
        }
    }

    /// Prints everything new that is still kept.
    func printNew(to output: ConsoleOutput) throws {
        while offset < (try log.size()) {
            guard let kept = MemoryFile.firstData(log, from: offset) else { break }
            if kept > offset && offset > 0 {
                throw Exit.failure("\(kept - offset) bytes came faster than they could be printed, and are gone")
            }
            offset = max(offset, kept)
            let bytes = try log.read(at: offset, count: 65_536)
            try output.write(bytes[...])
            offset += UInt64(bytes.count)
        }
    }
}
