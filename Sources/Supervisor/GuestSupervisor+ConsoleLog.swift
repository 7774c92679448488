import GuestDefinition
import Linux
import Systemd

/// The serial console's lines in the journal, where [Console] ForwardToJournal= wants them there.
///
/// They are read from `console.log`, which outlives VM processes, and the ledger has how far that has got: no line is
/// lost through a handover or a supervisor's end, and those of the last second may be there twice only where a supervisor
/// was killed. What a guest writes faster than this is logged leaves [Console] Retain= behind, and is said to be missing.
extension GuestSupervisor {
    /// How much is logged at a time, once in a second: journald takes 10000 lines in 30 s of one unit, and what the
    /// supervisor itself has to say is among them.
    private static let forwardedLines = 200
    private static let forwardedBytes = 64 << 10
    /// How often that is done for what a guest leaves behind that has ended.
    private static let lastTurns = 5
    private static let lastDeadline = Duration.seconds(2)

    /// Whether more could be logged at once.
    @discardableResult
    func forwardConsole(isFinal: Bool = false) async -> Bool {
        guard let ledger, let log = inventory[Inventory.consoleLog], !isForwarding, let size = try? log.size() else {
            return false
        }
        guard definition?.consoleForward == true else {
            // Switched on again, it begins with what comes then.
            if ledger.consoleForwarded != nil { try? record { $0.consoleForwarded = nil } }
            return false
        }
        isForwarding = true
        defer { isForwarding = false }
        let retain = definition?.consoleRetain ?? 1 << 20
        var from = min(ledger.consoleForwarded ?? (ledger.generation > 1 ? size : 0), size)
        if size - from > retain {
            journal(.consoleBehind(bytes: size - retain - from))
            from = size - retain
        }
        guard let bytes = try? log.read(at: from, count: min(Int(size - from), GuestSupervisor.forwardedBytes)) else {
            return false
        }
        let isLast = isFinal && from + UInt64(bytes.count) == size
        let said = ConsoleLines(bytes, limit: GuestSupervisor.forwardedLines, isFinal: isLast)
        let entries = said.lines.map { line in
            JournalEntry(
                line,
                fields: ["PERDURE_GUEST": name, "PERDURE_CONSOLE": "ttyS0"],
                identifier: "perdure-console"
            )
        }
        if !entries.isEmpty {
            // Not on the loop: a journal that does not take them must not keep it from everything else.
            _ = try? await BlockingCalls.run { for entry in entries { entry.send() } }
        }
        let end = from + UInt64(said.length)
        if end != self.ledger?.consoleForwarded { try? record { $0.consoleForwarded = end } }
        return said.length > 0 && end < size
    }

    /// Logs what a guest that has ended has still said, as far as the journal takes it at once.
    func finishConsole() async {
        let end = ContinuousClock.now + GuestSupervisor.lastDeadline
        let turns = GuestSupervisor.lastTurns
        let (finished, source) = AsyncStream.makeStream(of: Void.self)
        loop.spawn {
            for _ in 0..<turns where ContinuousClock.now < end {
                guard await forwardConsole(isFinal: true) else { break }
            }
            source.yield()
        }
        let timer = loop.after(GuestSupervisor.lastDeadline) { source.yield() }
        for await _ in finished { break }
        timer.cancel()
    }
}
