import GuestDefinition
import Lifecycle
import Linux
import Systemd

/// What the supervisor has to say besides the lifecycle's reports.
enum Notice {
    case controlSocketFailed(String)
    case definitionWarning(String)
    case preflightWarning(Finding)
    case storeIncomplete(String)
    case storeComplete
    case fetched([String], from: String)
    case notFetched(String)
    case vmProcessSaid(String, generation: Int)
    case outputFull(String)
    case networkProblem(String, String)
    case vmProcessSilent(String)
    case consoleInputFailed(String, String)
    case consoleUnwatched(String)
    case consoleBehind(bytes: UInt64)
    case dumped(MemoryDump.Result)
    case startingAnew(number: Int, of: Int)
    /// Something of the guest can't be reached from outside.
    case channelFailed(_ what: String, _ reason: String)
    case watchdogFired(action: String)
    case guestPanicked
    case memoryAdded(DIMM)
    case memoryRemoved(String)
    case notTakenOver(String)
    /// Paths.
    case firmwareReplaced([String])
}

extension GuestSupervisor {
    func journal(_ notice: Notice) {
        switch notice {
        case .controlSocketFailed(let reason):
            log("Guest '\(name)' can't be controlled by 'perdure': \(reason)", .error)
        case .definitionWarning(let warning): log(warning, .warning)
        case .preflightWarning(let finding):
            let isChange = finding.identifier == .needsPowerCycle
            log(
                isChange
                    ? "A change to guest '\(name)' takes effect when it is started anew: \(finding.sentence)"
                    : "Guest '\(name)': \(finding.sentence); \(finding.remedy)",
                isChange ? .notice : .warning,
                isChange ? .changesWait : .preflightWarning,
                ["PERDURE_FINDINGS": finding.identifier.rawValue, "PERDURE_REASON": finding.sentence]
            )
        case .storeIncomplete(let reason):
            log("Guest '\(name)' would not survive its supervisor now: \(reason)", .critical, .storeIncomplete)
        case .storeComplete:
            log(
                "systemd keeps everything of guest '\(name)' again: it would survive its supervisor",
                .notice,
                .storeComplete
            )
        case .fetched(let names, let source):
            log(
                "Descriptors of guest '\(name)' that systemd had lost were fetched back from \(source): "
                    + names.joined(separator: ", "),
                .notice,
                .fetched
            )
        case .notFetched(let reason):
            log("What systemd has lost of guest '\(name)' can't be fetched back: \(reason)", .error)
        case .vmProcessSaid(let line, let generation):
            log(line, .warning, .vmProcessSaid, ["PERDURE_GENERATION": "\(generation)"])
        case .outputFull(let title):
            log("\(title) of guest '\(name)' has said so much that what it says from now on is dropped", .warning)
        case .networkProblem(let id, let reason):
            log("The network '\(id)' of guest '\(name)' may not be as it should: \(reason)", .warning)
        case .vmProcessSilent(let title):
            log("\(title) of guest '\(name)' does not answer QMP; the watchdog is not fed", .error, .vmProcessSilent)
        case .consoleInputFailed(let title, let reason):
            log("\(title) of guest '\(name)' takes no console input: \(reason)", .warning)
        case .consoleUnwatched(let reason):
            log(
                "The console of guest '\(name)' can't be watched, and is looked at every 10 s: \(reason); raise "
                    + "'/proc/sys/fs/inotify/max_user_instances'",
                .warning
            )
        case .consoleBehind(let bytes):
            log("Guest '\(name)' writes too fast for the journal: \(bytes) bytes of its console are not here", .warning)
        case .dumped(let dump):
            log(
                "The RAM of guest '\(name)' is kept in '\(dump.path)': \(dump.written >> 20) of \(dump.bytes >> 20) MiB, "
                    + "without CPU registers",
                .notice,
                .dumped,
                ["PERDURE_DUMP": dump.path, "PERDURE_DUMP_BYTES": "\(dump.written)"]
            )
        case .startingAnew(let number, let limit):
            log(
                "Starting guest '\(name)' anew by OnCrash=restart, \(number) of at most \(limit) times",
                .notice,
                .startingAnew
            )
        case .channelFailed(let what, let reason): log("Guest '\(name)': \(what) can't be reached: \(reason)", .error)
        case .watchdogFired(let action):
            log(
                "Guest '\(name)' has not fed its watchdog; what follows is '\(action)'",
                .warning,
                .watchdogFired,
                ["PERDURE_ACTION": action]
            )
        case .memoryAdded(let dimm):
            log(
                "Guest '\(name)' has got memory '\(dimm.id)' of \(dimm.size >> 20) MiB",
                .notice,
                .memoryAdded,
                ["PERDURE_MEMORY": dimm.id, "PERDURE_MEMORY_BYTES": "\(dimm.size)"]
            )
        case .memoryRemoved(let id):
            log("Guest '\(name)' has given memory '\(id)' up", .notice, .memoryRemoved, ["PERDURE_MEMORY": id])
        case .firmwareReplaced(let paths):
            let files = paths.map { "'\($0)'" }.joined(separator: " and ")
            let stop = "\(Locations.current.systemctl) stop \(unit)"
            log(
                "Guest '\(name)' runs with firmware that has been replaced on disk, \(files), and keeps it through handovers "
                    + "and reboots: '\(stop)' and then 'start' boot it with the new one",
                .warning,
                .firmwareReplaced,
                ["PERDURE_FIRMWARE": paths.joined(separator: " ")]
            )
        case .notTakenOver(let reason):
            log(
                "Guest '\(name)' was not taken over, and runs on in the QEMU that others have started: \(reason)",
                .error,
                .notTakenOver,
                ["PERDURE_REASON": reason]
            )
        case .guestPanicked: log("The kernel of guest '\(name)' has panicked", .error, .guestPanicked)
        }
    }

    func journal(_ report: Lifecycle.Report) {
        switch report {
        case .began(let operation): journalBegin(operation)
        case .finished(let operation): journalEnd(operation)
        case .undone(let operation, let step, let reason): journalUndone(operation, step, reason)
        case .wentOn(let operation, let step, let reason):
            log(
                "Guest '\(name)': '\(step.rawValue)' of '\(operation.rawValue)' failed, going on: \(reason)",
                .warning,
                .stepWentOn,
                ["PERDURE_OPERATION": operation.rawValue, "PERDURE_STEP": step.rawValue, "PERDURE_REASON": reason]
            )
        case .declined(_, let reason):
            count(.declined)
            handoverProblem = reason
            log(
                "Guest '\(name)' runs on in \(currentTitle) and was not handed over: \(reason). It is tried again "
                    + "when another QEMU is installed there, and at once by 'perdure upgrade \(name)'",
                .notice,
                .handoverDeclined,
                ["PERDURE_REASON": reason]
            )
        case .adopted: log("Guest '\(name)' runs on in \(currentTitle), now under this supervisor", .notice, .adopted)
        case .stillSaved:
            log("Guest '\(name)' is saved; 'perdure exec' and 'perdure load' continue it", .notice, .stillSaved)
        case .stillWaiting:
            log(
                "Guest '\(name)' is saved and waits in \(currentTitle); 'perdure load' continues it",
                .notice,
                .stillSaved
            )
        case .unclear(let reason):
            log("Guest '\(name)' is left untouched: \(reason)", .critical, .unclear, ["PERDURE_REASON": reason])
        case .lost(let reason):
            lossReason = reason
            log("Guest '\(name)' is lost: \(reason)", .critical, .lost, ["PERDURE_REASON": reason])
        case .vmProcessEnded(let reason):
            log("Guest '\(name)' is saved, and its \(reason)", .warning, .vmProcessEnded, ["PERDURE_REASON": reason])
        }
    }

    private func journalBegin(_ operation: Operation) {
        durations = [:]
        // A rehearsal changes nothing of what is told of the guest.
        if operation != .rehearse { handoverProblem = nil }
        findings = []
        switch operation {
        case .start: log("Starting guest '\(name)'", .info, .guestStarting)
        case .handover: log("Handing guest '\(name)' over from \(currentTitle)", .info, .handoverBegan)
        case .rehearse: log("Rehearsing a handover of guest '\(name)' from \(currentTitle)", .info, .rehearsalBegan)
        case .stop: log("Powering guest '\(name)' off", .notice, .stopping)
        case .save, .exec, .load, .hold, .restore, .pause, .unpause, .reset, .powerdown, .kill, .resume, .rollBack,
            .finishHandover, .conclude, .abandon, .startAnew, .changeMemory, .dump, .leave:
            break
        }
    }

    private func journalEnd(_ operation: Operation) {
        switch operation {
        case .start, .startAnew: log("Guest '\(name)' runs in \(currentTitle)", .notice, .guestStarted)
        case .handover:
            count(.done, pause: ledger?.lastPause)
            log("Guest '\(name)' runs in \(currentTitle)\(pauseText)", .notice, .handoverDone, handoverFields)
        case .rehearse:
            log(
                "\(rehearsal.map { "\($0)" } ?? "QEMU") loads guest '\(name)', which runs on in \(currentTitle)",
                .notice,
                .rehearsed,
                rehearsalFields
            )
        case .load: log("Guest '\(name)' is loaded and runs in \(currentTitle)", .notice, .loaded, phaseFields)
        case .finishHandover:
            // How long the guest was paused, only the supervisor knows that was killed meanwhile.
            count(.done)
            log("Guest '\(name)' runs in \(currentTitle); the handover was finished", .notice, .handoverDone)
        case .resume, .rollBack: log("Guest '\(name)' runs on in \(currentTitle)", .notice, .rolledBack)
        case .save: log("Guest '\(name)' is paused, and its device state is saved", .notice, .saved, phaseFields)
        case .exec: log("\(currentTitle) waits to load guest '\(name)'", .notice, .executed, versionFields)
        case .hold:
            log("Guest '\(name)' is saved and held without a VM process", .notice, .held, phaseFields)
        case .restore: log("Guest '\(name)' runs again in \(currentTitle)", .notice, .restored, phaseFields)
        case .pause: log("Guest '\(name)' is paused in \(currentTitle)", .notice, .paused)
        case .unpause: log("Guest '\(name)' is continued in \(currentTitle)", .notice, .unpaused)
        case .reset: log("Guest '\(name)' was reset in \(currentTitle)", .notice, .reset)
        case .powerdown: log("The power button of guest '\(name)' was pressed", .notice, .powerButton)
        case .kill: log("Guest '\(name)' was ended at once", .notice, .killed)
        case .stop, .conclude: log("Guest '\(name)' is powered off", .notice, .poweredOff)
        case .dump: log("The memory of guest '\(name)' was given to a person", .notice, .memoryGiven, phaseFields)
        case .abandon, .changeMemory, .leave: break
        }
    }

    private func journalUndone(_ operation: Operation, _ step: Step, _ reason: String) {
        var fields = ["PERDURE_OPERATION": operation.rawValue, "PERDURE_STEP": step.rawValue, "PERDURE_REASON": reason]
        let blockers = findings.filter { $0.severity == .blocker }.map(\.identifier.rawValue)
        if !blockers.isEmpty { fields["PERDURE_FINDINGS"] = blockers.joined(separator: " ") }
        switch operation {
        case .startAnew where step == .admitRestart:
            log("Guest '\(name)' is not started anew: \(reason)", .critical, .crashLoop, fields)
        case .start, .startAnew:
            log("Guest '\(name)' can't be started: \(reason)", .error, .startFailed, fields)
        case .handover:
            count(HandoverCounters.Result.failure(at: step))
            // A state is one line to systemd.
            handoverProblem = reason.split(separator: "\n").first.map(String.init)
            log(
                "Guest '\(name)' was not handed over and runs on in \(currentTitle): \(reason)",
                .error,
                .handoverUndone,
                fields
            )
        case .rehearse:
            log(
                "A handover of guest '\(name)', which runs on in \(currentTitle), would fail: \(reason)",
                .error,
                .rehearsalFailed,
                fields
            )
        default: log("'\(operation.rawValue)' of guest '\(name)' was undone: \(reason)", .error, .requestUndone, fields)
        }
    }

    private var currentTitle: String {
        guard let record = current?.record else { return "no VM process" }
        return "VM process \(record.generation) (pid \(record.pid), QEMU \(record.version))"
    }

    private var pauseText: String {
        ledger?.lastPause.map { ", after a pause of \(Milliseconds(microseconds: $0))" } ?? ""
    }

    private var versionFields: [String: String] {
        var fields: [String: String] = [:]
        fields["PERDURE_QEMU_VERSION_OLD"] = replaced.map { "\($0.version)" }
        fields["PERDURE_QEMU_PACKAGE_OLD"] = replaced?.package
        fields["PERDURE_QEMU_VERSION_NEW"] = current.map { "\($0.record.version)" }
        fields["PERDURE_QEMU_PACKAGE_NEW"] = current?.record.package
        return fields
    }

    /// Microseconds that each step took.
    private var phaseFields: [String: String] {
        var fields: [String: String] = [:]
        for (step, duration) in durations {
            let name = step.rawValue.uppercased().replacing("-", with: "_")
            fields["PERDURE_\(name)_USEC"] = "\(duration.microseconds)"
        }
        return fields
    }

    private var rehearsalFields: [String: String] {
        var fields = phaseFields
        fields["PERDURE_QEMU_VERSION_OLD"] = current.map { "\($0.record.version)" }
        fields["PERDURE_QEMU_VERSION_NEW"] = rehearsal.map { "\($0.version)" }
        fields["PERDURE_PAUSE_USEC"] = rehearsal.map { "\($0.pause)" }
        return fields
    }

    private var handoverFields: [String: String] {
        var fields = phaseFields.merging(versionFields) { first, _ in first }
        fields["PERDURE_PAUSE_USEC"] = ledger?.lastPause.map { "\($0)" }
        return fields
    }

    private func log(
        _ message: String,
        _ priority: JournalEntry.Priority,
        _ id: MessageID? = nil,
        _ fields: [String: String] = [:]
    ) {
        var fields = fields
        fields["PERDURE_GUEST"] = name
        fields["PERDURE_GENERATION"] = fields["PERDURE_GENERATION"] ?? "\(current?.generation ?? generation)"
        JournalEntry(message, priority: priority, messageID: id?.rawValue, fields: fields).send()
    }
}

/// A duration as people read it: `8.3 ms`.
public struct Milliseconds: CustomStringConvertible, Sendable {
    private let microseconds: Int

    public init(microseconds: Int) { self.microseconds = microseconds }

    public var description: String {
        let tenths = microseconds / 100 + (microseconds % 100 >= 50 ? 1 : 0)
        return "\(tenths / 10).\(tenths % 10) ms"
    }
}
