import Lifecycle
import Supervisor

/// A guest's history as people read it: a line per event, and the pauses as a picture.
public struct HistoryTable {
    /// What is part of a guest's history, and what it is called there.
    package static let labels: [MessageID: String] = [
        .guestStarted: "started",
        .startFailed: "not started",
        .adopted: "adopted",
        .handoverDone: "handed over",
        .handoverUndone: "not handed over",
        .handoverDeclined: "not handed over",
        .rehearsed: "rehearsed",
        .rehearsalFailed: "would fail",
        .saved: "saved",
        .executed: "VM process ready",
        .loaded: "loaded",
        .requestUndone: "undone",
        .rolledBack: "went on",
        .paused: "paused",
        .unpaused: "continued",
        .held: "held",
        .restored: "continued",
        .reset: "reset",
        .powerButton: "power button",
        .killed: "ended",
        .memoryGiven: "dumped",
        .watchdogFired: "watchdog",
        .guestPanicked: "panicked",
        .vmProcessEnded: "VM process ended",
        .stopping: "powering off",
        .poweredOff: "powered off",
        .lost: "lost",
        .unclear: "left untouched",
        .startingAnew: "starting anew",
        .crashLoop: "not started anew",
    ]

    /// How many pauses the picture has at most.
    public static let pictureWidth = 60

    private let style: OutputStyle
    private var pauses: [Int] = []
    private var count = 0

    public init(style: OutputStyle) { self.style = style }

    public let header = HistoryTable.row("TIME", "EVENT", "GEN", "PAUSE", "")

    /// The line of one event.
    public mutating func line(_ record: GuestRecord) -> String {
        if record.kind == .handoverDone, let pause = record.pause {
            count += 1
            pauses.append(pause)
            if pauses.count > HistoryTable.pictureWidth { pauses.removeFirst() }
        }
        let details = details(record)
        func row(_ details: String) -> String {
            HistoryTable.row(
                LocalTime.text(record.time),
                HistoryTable.labels[record.kind] ?? record.event,
                record.generation.map { "\($0)" } ?? "",
                record.pause.map { "\(Milliseconds(microseconds: $0))" } ?? "",
                details
            )
        }
        let line = row(details)
        guard let columns = style.columns, line.count > columns, !details.isEmpty else { return line }
        return "\(row(""))\n\(style.wrapped("    \(details)", indent: 4))"
    }

    /// The pauses over time; nil where there was no handover.
    public var picture: String? {
        guard let least = pauses.min(), let most = pauses.max() else { return nil }
        let median = pauses.sorted()[pauses.count / 2]
        let range = "\(Milliseconds(microseconds: least)) to \(Milliseconds(microseconds: most))"
        let which =
            count > pauses.count
            ? "the last \(pauses.count) of \(count) handovers" : count == 1 ? "1 handover" : "\(count) handovers"
        return
            "Pauses: \(Sparkline.text(pauses, style: style))  \(range), median \(Milliseconds(microseconds: median)), "
            + which
    }

    private func details(_ record: GuestRecord) -> String {
        switch record.kind {
        case .handoverDone, .rehearsed:
            [versions(record), phases(record)].compactMap { $0 }.joined(separator: "; ")
        case .saved, .loaded, .executed: [versions(record), phases(record)].compactMap { $0 }.joined(separator: "; ")
        case .requestUndone: [record.operation, record.reason].compactMap { $0 }.joined(separator: ": ")
        default: record.reason ?? ""
        }
    }

    private func versions(_ record: GuestRecord) -> String? {
        guard let new = record.newVersion else { return nil }
        guard let old = record.oldVersion, old != new else { return "QEMU \(new)" }
        return "QEMU \(old) \(style.isRich ? "→" : "->") \(new)"
    }

    /// Everything before the pause is one phase: who reads this wants to know where the pause comes from.
    private func phases(_ record: GuestRecord) -> String? {
        let preparation = record.phases.filter { HistoryTable.preparation.contains($0.step) }.map(\.duration)
        var parts: [(String, Int)] = preparation.isEmpty ? [] : [("prepare", preparation.reduce(0, +))]
        for phase in record.phases {
            if let name = HistoryTable.pausePhases[phase.step] { parts.append((name, phase.duration)) }
        }
        if parts.isEmpty { return nil }
        return parts.map { "\($0.0) \(Milliseconds(microseconds: $0.1))" }.joined(separator: ", ")
    }

    private static let preparation: Set<Step> = [
        .readDefinition, .probeQEMU, .startVMProcess, .connect, .compare, .syncDisks,
    ]
    private static let pausePhases: [Step: String] = [
        .stopGuest: "stop", .saveState: "save", .loadState: "load", .rehearseLoad: "load", .continueGuest: "continue",
    ]

    private static func row(_ time: String, _ event: String, _ generation: String, _ pause: String, _ details: String)
        -> String
    {
        let columns = [
            time.padded(to: 19), event.padded(to: 16), generation.padded(to: 4, right: true),
            pause.padded(to: 10, right: true), details,
        ]
        var line = columns.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }
}

extension String {
    fileprivate func padded(to width: Int, right: Bool = false) -> String {
        let padding = String(repeating: " ", count: Swift.max(0, width - count))
        return right ? padding + self : self + padding
    }
}
