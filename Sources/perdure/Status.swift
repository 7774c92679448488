import ArgumentParser
import Linux
import Reports
import Varlink

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how a guest stands, and the last that its unit has logged."
    )

    private static let defaultLines = 10

    @OptionGroup var guest: GuestArgument
    @Option(
        name: [.customShort("n"), .long],
        help: ArgumentHelp(
            "How many lines of the journal are shown, \(Status.defaultLines) unless told otherwise, or 'all'; with "
                + "'--json' only where it is said.",
            valueName: "count"
        )
    )
    var lines: EntryCount?
    @OptionGroup var output: OutputOption

    func run() throws {
        let status: GuestInterface.Status
        do {
            status = try GuestClient(guest.name).call(.getStatus)
        } catch let failure as CommandFailure where failure.status == .notRunning {
            // Why it does not run is what is asked for.
            if !output.json { show(journal) }
            throw failure
        }
        if output.json { return try printJSON(Answer(status: status, journal: lines == nil ? nil : journal)) }
        let upgrade = "\(Locations.current.perdure) upgrade \(guest.name)"
        let outdated = "; its QEMU has been replaced on disk since it was started: '\(upgrade)'"
        print(
            OutputStyle.standardOutput.wrapped(
                "\(guest.name): \(status.summary)\(status.outdated ? outdated : "")",
                indent: 2
            )
        )
        if let firmware = status.replacedFirmware, !firmware.isEmpty {
            let files = firmware.map { "'\($0)'" }.joined(separator: " and ")
            let stop = "\(Locations.current.systemctl) stop perdure@\(guest.name)"
            print(
                OutputStyle.standardOutput.wrapped(
                    "  another firmware is installed than it was started with, \(files): '\(stop)' and then 'start' boot it "
                        + "with that, a handover does not",
                    indent: 2
                )
            )
        }
        // The summary has it after an attempt; it is true for longer.
        if let refusal = status.refusal, !status.summary.contains(refusal) { print("  \(refusal)") }
        let journal = journal
        if !journal.isEmpty { print("") }
        show(journal)
    }

    private var journal: [UnitJournal.Line] {
        UnitJournal.last(lines.map(\.count) ?? Status.defaultLines, of: guest.name)
    }

    private func show(_ journal: [UnitJournal.Line]) {
        let style = OutputStyle.standardOutput
        for line in journal { print(line.text(style: style)) }
    }

    /// The status' own keys, and one for the journal.
    private struct Answer: Encodable {
        let status: GuestInterface.Status
        let journal: [UnitJournal.Line]?

        private enum Key: CodingKey { case journal }

        func encode(to encoder: any Encoder) throws {
            try status.encode(to: encoder)
            var container = encoder.container(keyedBy: Key.self)
            try container.encodeIfPresent(journal, forKey: .journal)
        }
    }
}
