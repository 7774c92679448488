import CSystemd
import Glibc

/// One journal entry (systemd.journal-fields(7)).
public struct JournalEntry: Sendable, Equatable {
    public enum Priority: Int, Sendable {
        case critical = 2
        case error = 3
        case warning = 4
        case notice = 5
        case info = 6
        case debug = 7
    }

    public var message: String
    public var priority: Priority
    /// 128 bits in lower-case hexadecimal, as the message catalog has it.
    public var messageID: String?
    /// Names are upper case; values may hold anything.
    public var fields: [String: String]
    /// Who says it, as journalctl shows it and takes it with '-t'.
    public var identifier: String

    public init(
        _ message: String,
        priority: Priority = .info,
        messageID: String? = nil,
        fields: [String: String] = [:],
        identifier: String = "perdure"
    ) {
        self.message = message
        self.priority = priority
        self.messageID = messageID
        self.fields = fields
        self.identifier = identifier
    }

    /// Sends the entry to the journal; to standard error where there is no journal.
    public func send() {
        var lines = ["MESSAGE=\(message)", "PRIORITY=\(priority.rawValue)", "SYSLOG_IDENTIFIER=\(identifier)"]
        if let messageID { lines.append("MESSAGE_ID=\(messageID)") }
        lines += fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let buffers = lines.map { Array($0.utf8) }
        var vectors: [iovec] = []
        var flat = buffers.flatMap { $0 }
        let result = flat.withUnsafeMutableBytes { bytes -> Int32 in
            var offset = 0
            for buffer in buffers {
                vectors.append(iovec(iov_base: bytes.baseAddress! + offset, iov_len: buffer.count))
                offset += buffer.count
            }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
        if result < 0 || !JournalEntry.isConnected {
            let line = Array("\(message)\n".utf8)
            _ = write(STDERR_FILENO, line, line.count)
        }
    }

    /// sd_journal_sendv(3) reports success where no journal listens.
    private static let isConnected = access("/run/systemd/journal/socket", W_OK) == 0
}
