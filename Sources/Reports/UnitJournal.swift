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
        /// On one line.
        public let message: String

        package init(timeUsec: UInt64, priority: Int, message: String) {
            self.timeUsec = timeUsec
            self.priority = priority
            self.message = message
        }

        public func text(style: OutputStyle) -> String {
            let text = "\(LocalTime.text(timeUsec))  \(message)"
            guard let columns = style.columns, text.count > columns else { return coloured(text, style) }
            return coloured(text.prefix(columns - 1) + (style.isRich ? "…" : "~"), style)
        }

        /// As journalctl has it: errors red, warnings yellow.
        private func coloured(_ text: String, _ style: OutputStyle) -> String {
            guard style.hasColours, priority <= 4 else { return text }
            return "\u{1B}[\(priority == 4 ? 33 : 31)m\(text)\u{1B}[0m"
        }
    }

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
                lines.append(
                    Line(timeUsec: entry.time, priority: priority, message: ForeignText.printable(message))
                )
            }
            return lines
        } catch {
            return []
        }
    }
}
