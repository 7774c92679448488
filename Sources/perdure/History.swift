import ArgumentParser
import Glibc
import GuestDefinition
import Reports

struct History: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show what has happened to a guest: starts, handovers with their pauses, failures with their reasons.",
        discussion: "It is made from the journal, and reaches as far back as that does. Who may not read the system's "
            + "journal sees nothing."
    )

    @OptionGroup var guest: GuestArgument
    @OptionGroup var extent: JournalOptions

    func run() throws {
        if let problem = GuestName.problem(with: guest.name) { throw Exit.failure(problem) }
        let journal = try GuestJournal(of: guest.name, .history, last: extent.count(default: 50), since: extent.start)
        if extent.json {
            while let record = try journal.next() { print(try jsonLine(record)) }
            return
        }
        var table = HistoryTable(style: .standardOutput)
        var isEmpty = true
        while let record = try journal.next() {
            if isEmpty { print(table.header) }
            isEmpty = false
            print(table.line(record))
        }
        if let picture = table.picture { print("\n\(picture)") }
        if isEmpty {
            let hint = geteuid() == 0 ? "" : "; only root and the group 'systemd-journal' may read all of it"
            throw Exit.failure(
                "the journal has nothing of a guest '\(guest.name)'\(GuestHint.text(guest.name) ?? hint)"
            )
        }
    }
}

struct Watch: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what happens to a guest, or to all of them, as it happens.",
        discussion: "It is made from the journal. Who may not read the system's journal sees nothing."
    )

    @Argument(help: "The guest's name, as in NAME.guest; all guests where there is none.", completion: .guestNames)
    var name: String?
    @OptionGroup var extent: JournalOptions
    @OptionGroup var manager: ManagerOption

    func run() throws {
        if let name, let problem = GuestName.problem(with: name) { throw Exit.failure(problem) }
        // It may still be defined, or have been.
        if let name, let hint = GuestHint.text(name) {
            GuestHint.tell("perdure: there is no guest '\(name)' now\(hint)")
        }
        let count = extent.count(default: extent.since == nil ? 10 : nil)
        let journal = try GuestJournal(of: name, .everything, last: count, since: extent.start)
        repeat {
            while let record = try journal.next() {
                print(extent.json ? try jsonLine(record) : RecordLine.text(record))
            }
            fflush(nil)
        } while try journal.waitForChange(until: STDOUT_FILENO)
    }
}

/// Which entries of the journal are wanted, and how.
struct JournalOptions: ParsableArguments {
    @Option(
        name: [.customShort("n"), .long],
        help: ArgumentHelp("How many entries are shown, the last ones; or 'all'.", valueName: "count")
    )
    var lines: EntryCount?
    @Option(help: "The oldest entry's time, such as '2026-11-24 12:00', 'yesterday' or '2h ago'.")
    var since: String?
    @Flag(help: "Print JSON, one object per line.")
    var json = false

    func validate() throws {
        guard let since, start == nil else { return }
        throw ValidationError("'\(since)' is not a time; write it as in '2026-11-24 12:00', 'yesterday' or '2h ago'.")
    }

    /// Microseconds since the epoch.
    var start: UInt64? {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return since.flatMap {
            LocalTime.parse($0, now: UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000)
        }
    }

    func count(default count: Int?) -> Int? { lines.map(\.count) ?? count }
}

struct EntryCount: ExpressibleByArgument {
    /// Nil for all.
    let count: Int?

    init?(argument: String) {
        if argument == "all" {
            count = nil
        } else if let number = Int(argument), (0...1_000_000).contains(number) {
            count = number
        } else {
            return nil
        }
    }
}

private enum RecordLine {
    static func text(_ record: GuestRecord) -> String {
        let time = LocalTime.text(record.time)
        return OutputStyle.standardOutput.wrapped("\(time)  \(record.message)", indent: time.count + 2)
    }
}

/// What is said to who names a guest that there is none of.
private enum GuestHint {
    /// The end of a sentence; nil where the guest is defined, or no other has a name like it.
    static func text(_ guest: String) -> String? {
        guard let defined = try? DefinedGuests.names(), !defined.contains(guest) else { return nil }
        return NearestName.find(guest, in: defined).map { "; did you mean '\($0)'?" }
    }

    static func tell(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
