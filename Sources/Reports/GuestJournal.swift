import Glibc
import Linux
import Supervisor
import Systemd

/// State changes of guests, read from the journal and from nothing else.
public struct GuestJournal {
    public enum Extent: Sendable {
        /// What a guest's life is made of: starts, handovers and what came of them, its end.
        case history
        /// Every entry that has a MESSAGE_ID of Perdure.
        case everything
    }

    private let reader: JournalReader

    /// - Parameters:
    ///   - guest: nil for all guests.
    ///   - count: how many entries to begin with; nil for all.
    ///   - since: microseconds since the epoch.
    public init(of guest: String?, _ extent: Extent, last count: Int?, since: UInt64?) throws(SystemCallError) {
        let kinds = extent == .history ? Array(HistoryTable.labels.keys) : MessageID.allCases
        var matches = ["MESSAGE_ID": kinds.map(\.rawValue)]
        // Anybody may log whatever he likes: what counts was logged by the system's supervisors, or by one's own.
        matches["_UID"] = [Locations.current.isUser ? "\(geteuid())" : "0"]
        if let guest { matches["PERDURE_GUEST"] = [guest] }
        reader = try JournalReader(matching: matches)
        try reader.seek(last: count, since: since)
    }

    /// The next state change; nil where there is none yet.
    public func next() throws(SystemCallError) -> GuestRecord? {
        while let entry = try reader.next() {
            if let record = GuestRecord(entry) { return record }
        }
        return nil
    }

    /// Waits until there may be more. False where `output` has nobody left who reads it.
    public func waitForChange(until output: Int32) throws(SystemCallError) -> Bool {
        try reader.waitForChange(until: output)
    }
}
