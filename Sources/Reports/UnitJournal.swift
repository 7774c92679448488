import Glibc
import Linux
import Systemd

/// The last that a guest's unit has logged, and systemd about it, as `systemctl status` shows it.
public struct UnitJournal {
    public struct Line: Sendable, Equatable, Encodable {
        /// Microseconds since the epoch.
        public let timeUsec: UInt64
        /// 0 to 7, as in syslog(3).
        public let priority: Int
        /// Mostly on one line.
        public let message: String

        package init(timeUsec: UInt64, priority: Int, message: String) {
            self.timeUsec = timeUsec
            self.priority = priority
            self.message = message
        }

        /// Warnings and errors in full, other messages on one line.
        public func text(style: OutputStyle) -> String {
            let time = LocalTime.text(timeUsec)
            let indent = time.count + 2
            if priority <= 4 {
                let lines = message.split(separator: "\n").joined(
                    separator: "\n" + String(repeating: " ", count: indent)
                )
                return coloured(style.wrapped("\(time)  \(lines)", indent: indent), style)
            }
            let text = "\(time)  \(message.split(separator: "\n").joined(separator: " "))"
            guard let columns = style.columns, text.count > columns else { return text }
            return text.prefix(columns - 1) + (style.isRich ? "…" : "~")
        }

        /// As journalctl has it: errors red, warnings yellow.
        private func coloured(_ text: String, _ style: OutputStyle) -> String {
            guard style.hasColours else { return text }
            return "\u{1B}[\(priority == 4 ? 33 : 31)m\(text)\u{1B}[0m"
        }
    }

    /// Of one message, what is behind them being on the last.
    private static let mostLines = 20

    /// - Parameter count: how many lines, the last ones; nil for all.
    /// - Returns: the oldest first; none where the journal can't be read.
    public static func last(_ count: Int?, of guest: String) -> [Line] {
        if count == 0 { return [] }
        let unit = "perdure@\(guest).service"
        do {
            let user = ["_UID": ["\(geteuid())"]]
            let groups =
                Locations.current.isUser
                ? ["_SYSTEMD_USER_UNIT", "USER_UNIT"].map { user.merging([$0: [unit]]) { $1 } }
                : [["_SYSTEMD_UNIT": [unit]], ["_PID": ["1"], "UNIT": [unit]]]
            let reader = try JournalReader(matchingAny: groups)
            try reader.seek(last: count, since: nil)
            var lines: [Line] = []
            while let entry = try reader.next() {
                guard let message = entry.fields["MESSAGE"] else { continue }
                let priority = entry.fields["PRIORITY"].flatMap { Int($0) } ?? 6
                // A definition's mistakes are shown with the lines that they are in.
                let shown = message.split(separator: "\n", maxSplits: mostLines - 1).map { ForeignText.printable($0) }
                lines.append(Line(timeUsec: entry.time, priority: priority, message: shown.joined(separator: "\n")))
            }
            return lines
        } catch {
            return []
        }
    }
}
