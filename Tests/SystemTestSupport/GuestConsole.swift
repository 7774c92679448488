/// What the test guest (`Tests/Guest`) wrote to its console, checked byte by byte.
///
/// Whatever the kernel and the firmware print lies before a boot's `ready` line or after its last one, and is skipped.
package struct GuestConsole: Sendable {
    /// One life of the guest: from its `ready` line to the next one.
    package struct Boot: Sendable {
        package enum Ending: Sendable {
            /// The text ends while the guest runs, or is cut off by another boot.
            case none
            case powerOff
            case reboot
        }

        /// 16 hexadecimal digits, random for each boot.
        package let id: String
        /// Guest-physical address of the heartbeat page.
        package let heartbeatAddress: UInt64
        package let heartbeatMagic: UInt64
        /// The number of the last tick; ticks are numbered from 1, so it is their count as well.
        package fileprivate(set) var lastTick: UInt64 = 0
        /// Passes over the memory under test.
        package fileprivate(set) var sweeps: UInt64 = 0
        /// 4 KiB pages under test; 0 until they have been filled for the first time.
        package fileprivate(set) var pages: UInt64 = 0
        package fileprivate(set) var ramErrors: UInt64 = 0
        /// The highest record number that the disk has acknowledged, over all boots.
        package fileprivate(set) var diskRecords: UInt64 = 0
        package fileprivate(set) var diskErrors: UInt64 = 0
        /// MiB written in this boot by `perdure.writer=1`.
        package fileprivate(set) var writtenMiB: UInt64 = 0
        /// What the guest said besides its ticks, without prefix and check.
        package fileprivate(set) var messages: [String] = []
        package fileprivate(set) var ending = Ending.none
    }

    /// A line that should not be there, or one that is missing before it.
    package struct Problem: Sendable, CustomStringConvertible {
        /// Counted from 1.
        package let line: Int
        package let reason: String
        package let text: String

        package var description: String { "console line \(line): \(reason): '\(text)'" }
    }

    package private(set) var boots: [Boot] = []
    package private(set) var problems: [Problem] = []
    /// Problems that are none if a new boot follows: what a guest was cut off in, and firmware and kernel output.
    private var unexplained: [Problem] = []
    private var isRunning = false

    /// An unfinished last line is left out: the guest may be writing it.
    package init(_ text: some Collection<UInt8>) {
        var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        lines.removeLast()
        for (index, line) in lines.enumerated() {
            take(line: index + 1, Array(line))
        }
        problems += unexplained
    }

    package init(_ text: String) {
        self.init(Array(text.utf8))
    }

    /// The guest's one and only boot, if it and the host have not lost or changed anything.
    package func verified() throws -> Boot {
        guard problems.isEmpty else {
            let list = problems.prefix(20).map(\.description).joined(separator: "\n")
            throw CommandFailure(description: "The guest's console has \(problems.count) wrong lines.\n\(list)")
        }
        guard let boot = boots.first, boots.count == 1 else {
            throw CommandFailure(description: "The guest booted \(boots.count) times instead of once.")
        }
        guard boot.ramErrors == 0, boot.diskErrors == 0, boot.messages.allSatisfy({ !$0.hasPrefix("error") }) else {
            throw CommandFailure(
                description: "The guest counts \(boot.ramErrors) memory errors and \(boot.diskErrors) disk errors.\n"
                    + boot.messages.joined(separator: "\n")
            )
        }
        return boot
    }

    private mutating func take(line number: Int, _ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let content = Self.checkedContent(bytes) else {
            if isRunning {
                unexplained.append(Problem(line: number, reason: "not a line as the guest wrote it", text: text))
            }
            return
        }
        if content.hasPrefix(Self.ready) {
            start(content, line: number)
            return
        }
        problems += unexplained
        unexplained = []
        guard isRunning else {
            problems.append(Problem(line: number, reason: "a line outside of a boot", text: text))
            return
        }
        if content.hasPrefix("tick=") {
            tick(content, line: number)
        } else {
            message(String(content.dropFirst(Self.prefix.count)))
        }
    }

    private static let prefix = "perdure-guest "
    private static let ready = "perdure-guest ready "

    /// The line without its check, or nil if that does not match.
    private static func checkedContent(_ bytes: [UInt8]) -> String? {
        let mark = Array(" check=".utf8)
        let size = bytes.count - mark.count - 8
        guard size > 0, Array(bytes[size..<size + mark.count]) == mark,
            UInt32(String(decoding: bytes.suffix(8), as: UTF8.self), radix: 16) == crc32(bytes[..<size])
        else { return nil }
        let content = String(decoding: bytes[..<size], as: UTF8.self)
        return content.hasPrefix("tick=") || content.hasPrefix(prefix) ? content : nil
    }

    private static func fields(_ content: String) -> [Substring: Substring] {
        let pairs = content.split(separator: " ").compactMap { word -> (Substring, Substring)? in
            guard let equals = word.firstIndex(of: "=") else { return nil }
            return (word[..<equals], word[word.index(after: equals)...])
        }
        return Dictionary(pairs) { first, _ in first }
    }

    private mutating func start(_ content: String, line: Int) {
        let fields = Self.fields(content)
        func hexadecimal(_ name: Substring) -> UInt64 {
            fields[name].flatMap { UInt64($0.dropFirst(2), radix: 16) } ?? 0
        }
        let id = String(fields["boot"] ?? "")
        if boots.contains(where: { $0.id == id }) {
            problems += unexplained
            problems.append(Problem(line: line, reason: "a boot that is known already", text: content))
        }
        unexplained = []
        isRunning = true
        boots.append(
            Boot(
                id: id,
                heartbeatAddress: hexadecimal("heartbeat_paddr"),
                heartbeatMagic: hexadecimal("heartbeat_magic")
            )
        )
    }

    private mutating func tick(_ content: String, line: Int) {
        let fields = Self.fields(content)
        func number(_ name: Substring) -> UInt64 { fields[name].flatMap { UInt64($0) } ?? 0 }
        var boot = boots[boots.count - 1]
        if number("tick") != boot.lastTick + 1 {
            let reason = "tick \(boot.lastTick + 1) was expected"
            problems.append(Problem(line: line, reason: reason, text: content))
        }
        if fields["boot"].map(String.init) != boot.id {
            problems.append(Problem(line: line, reason: "a tick of another boot than \(boot.id)", text: content))
        }
        boot.lastTick = number("tick")
        boot.sweeps = number("sweeps")
        boot.pages = number("pages")
        boot.ramErrors = max(boot.ramErrors, number("ram_errors"))
        boot.diskRecords = number("disk_records")
        boot.diskErrors = max(boot.diskErrors, number("disk_errors"))
        boot.writtenMiB = number("written_mib")
        boots[boots.count - 1] = boot
    }

    private mutating func message(_ text: String) {
        boots[boots.count - 1].messages.append(text)
        switch text {
        case "powering off": boots[boots.count - 1].ending = .powerOff
        case "rebooting": boots[boots.count - 1].ending = .reboot
        default: return
        }
        isRunning = false
    }
}
