import CSystemd
import Glibc
import Linux

/// Reads the journals of this machine (sd-journal(3)), one entry at a time. Blocks; not for use on an event loop.
public final class JournalReader {
    /// A field is cut after so many bytes, and an entry after so many fields: anybody may log.
    private static let longestField = 16 << 10
    private static let mostFields = 256

    /// What was logged of one entry.
    public struct Entry: Sendable {
        /// Microseconds since the epoch, by the clock of the host.
        public let time: UInt64
        public let fields: [String: String]
    }

    private let journal: OpaquePointer

    /// - Parameter matches: an entry has to have one of the values of each field.
    public convenience init(matching matches: [String: [String]]) throws(SystemCallError) {
        try self.init(matchingAny: [matches])
    }

    /// - Parameter groups: an entry has to have one of the values of each field of a group.
    public init(matchingAny groups: [[String: [String]]]) throws(SystemCallError) {
        var opened: OpaquePointer?
        let result = sd_journal_open(&opened, Int32(SD_JOURNAL_LOCAL_ONLY))
        guard result >= 0, let opened else { throw SystemCallError("sd_journal_open", on: "journal", code: -result) }
        journal = opened
        _ = sd_journal_set_data_threshold(journal, JournalReader.longestField)
        for matches in groups {
            for (field, values) in matches.sorted(by: { $0.key < $1.key }) {
                for value in values {
                    let bytes = Array("\(field)=\(value)".utf8)
                    try check("sd_journal_add_match", sd_journal_add_match(journal, bytes, bytes.count))
                }
            }
            try check("sd_journal_add_disjunction", sd_journal_add_disjunction(journal))
        }
        // From here on nothing that is logged is missed by waitForChange().
        try check("sd_journal_get_fd", sd_journal_get_fd(journal))
    }

    deinit { sd_journal_close(journal) }

    /// Goes to where `next()` returns the oldest of the last `count` entries, not older than `since`.
    /// - Parameters:
    ///   - count: nil for all of them.
    ///   - since: microseconds since the epoch; nil for the beginning.
    public func seek(last count: Int?, since: UInt64?) throws(SystemCallError) {
        guard let count else {
            if let since {
                return try check("sd_journal_seek_realtime_usec", sd_journal_seek_realtime_usec(journal, since))
            }
            return try check("sd_journal_seek_head", sd_journal_seek_head(journal))
        }
        try check("sd_journal_seek_tail", sd_journal_seek_tail(journal))
        // One further back than wanted: the next one is the first.
        for _ in 0...count {
            let moved = sd_journal_previous(journal)
            try check("sd_journal_previous", moved)
            if moved == 0 { return try check("sd_journal_seek_head", sd_journal_seek_head(journal)) }
            if let since, try time() < since { return }
        }
    }

    /// The next entry; nil where there is none yet.
    public func next() throws(SystemCallError) -> Entry? {
        let moved = sd_journal_next(journal)
        try check("sd_journal_next", moved)
        if moved == 0 { return nil }
        return Entry(time: try time(), fields: fields())
    }

    /// Waits until there may be more entries.
    /// - Returns: false where `output`, a descriptor that is written to, has nobody left who reads it.
    public func waitForChange(until output: Int32) throws(SystemCallError) -> Bool {
        while true {
            var timeout: UInt64 = .max
            try check("sd_journal_get_timeout", sd_journal_get_timeout(journal, &timeout))
            let events = sd_journal_get_events(journal)
            try check("sd_journal_get_events", events)
            var entries = [
                pollfd(fd: sd_journal_get_fd(journal), events: Int16(events), revents: 0),
                pollfd(fd: output, events: 0, revents: 0),
            ]
            if poll(&entries, nfds_t(entries.count), JournalReader.milliseconds(until: timeout)) < 0 && errno != EINTR {
                throw SystemCallError("poll", on: "journal")
            }
            if entries[1].revents & Int16(POLLHUP | POLLERR) != 0 { return false }
            let change = sd_journal_process(journal)
            try check("sd_journal_process", change)
            if change != Int32(SD_JOURNAL_NOP) { return true }
        }
    }

    /// - Parameter time: microseconds of CLOCK_MONOTONIC; the greatest number there is for no limit.
    private static func milliseconds(until time: UInt64) -> Int32 {
        if time == .max { return -1 }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let passed = UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
        return time <= passed ? 0 : Int32(clamping: (time - passed) / 1_000 + 1)
    }

    private func time() throws(SystemCallError) -> UInt64 {
        var time: UInt64 = 0
        try check("sd_journal_get_realtime_usec", sd_journal_get_realtime_usec(journal, &time))
        return time
    }

    private func fields() -> [String: String] {
        var fields: [String: String] = [:]
        sd_journal_restart_data(journal)
        var data: UnsafeRawPointer?
        var length = 0
        while fields.count < JournalReader.mostFields, sd_journal_enumerate_available_data(journal, &data, &length) > 0
        {
            guard let data else { break }
            let bytes = UnsafeRawBufferPointer(start: data, count: min(length, JournalReader.longestField))
            guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(decoding: bytes[..<equals], as: UTF8.self)
            fields[name] = String(decoding: bytes[(equals + 1)...], as: UTF8.self)
        }
        return fields
    }

    private func check(_ call: String, _ result: Int32) throws(SystemCallError) {
        if result < 0 { throw SystemCallError(call, on: "journal", code: -result) }
    }
}
