import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Synchronization
import Systemd
import Varlink

/// Takes care of one guest: carries out what `Lifecycle` decides, and reports back what came of it.
///
/// Everything runs on one event loop. Calls that may block go through `BlockingCalls`.
public actor GuestSupervisor {
    nonisolated let loop: EventLoop
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// How long systemd may take to answer.
    static let managerDeadline = Duration.seconds(10)
    /// How long a QEMU that does well may take for a question.
    static let answerDeadline = Duration.seconds(5)
    /// How long a process may take to end after SIGKILL, its memory's release included.
    static let killDeadline = Duration.seconds(20)

    nonisolated let name: String
    nonisolated let unit: String
    nonisolated let loader: DefinitionLoader
    nonisolated let calls: any ProcessCalls

    var lifecycle = Lifecycle()
    var inventory = Inventory()
    var ledgerFile: LedgerFile?
    var ledger: Ledger?
    /// Of the newest VM process, known also when there is no ledger any more.
    var generation = 0

    /// As last read without errors; nil until then.
    var definition: GuestDefinition? {
        didSet { lifecycle.onLoss = definition?.crash.onCrash == .restart ? .startAnew : .fail }
    }
    var facts: QEMUFacts?
    var factsOf: (path: String, identity: FileIdentity)?
    /// What `--qemu` asked for, for the operation under way.
    var requestedQEMU: String?

    /// What is to be changed by the operation that has been asked for.
    var requestedMemory: MemoryChange?
    var memoryWaiter: CheckedContinuation<Void, Never>?

    /// The guest's.
    var current: VMProcess?
    /// Being made ready to become the guest's.
    var next: VMProcess?
    /// Was the guest's until the commit.
    var previous: VMProcess?

    var durations: [Step: Duration] = [:]
    /// What the definition says otherwise than the guest runs with, since it was last read.
    var definitionChanges = DefinitionChanges()
    /// Of the last preflight of the operation under way.
    var findings: [Finding] = []
    var isChecking = false
    /// The VM process whose program was found to be replaced on disk.
    var outdatedGeneration: Int?
    /// As last looked at.
    var replacedFirmware = ReplacedFirmware()
    /// What came of the rehearsal under way, or of the last one.
    var rehearsal: Rehearsal?
    /// Why the last handover was refused or undone; nil when it succeeded.
    var handoverProblem: String?
    var replaced: VMProcessRecord?
    var lossReason = ""
    /// As in the ledger, which a start anew replaces.
    var restarts: [Int] = []
    var consoleTrimmedTo: UInt64 = 0
    var consoleWatch: ReadWatch?
    var consoleTimer: Timer?
    /// The console's output can't be watched, and was said to be looked at now and then only.
    var isConsoleUnwatched = false
    var isForwarding = false
    var powerOffWaiter: CheckedContinuation<Void, Never>?
    var reloadWaiter: CheckedContinuation<Void, Never>?
    var isStopWanted = false
    var storeHealth = StoreHealth()
    var storeTimer: Timer?
    var isStoreCheckWanted = false
    var isStoreInUse = false
    var storeWaiters: [CheckedContinuation<Void, Never>] = []
    /// The guest's VM process was told to continue it, and has not answered.
    var isContinueOverdue = false
    /// Disk images are being written out.
    nonisolated let syncing = Atomic(false)
    /// QEMU processes in care, by pid, until their end has been seen.
    var processes: [Int32: VMProcess] = [:]

    var tickets = 0
    var replies: [Lifecycle.Ticket: (Lifecycle.Reply) -> Void] = [:]
    private var watches: [ReadWatch] = []
    private(set) var watchdog: Timer?
    private var reloadWatch: ReloadWatch?
    /// To a 'perdure adopt' that waits.
    var adoption: AdoptionLink?
    var isLettingGo = false
    var control: ControlServer?
    var agent: AgentChannel?
    var display: DisplayServer?
    private(set) var runtimeDirectory = ""
    private var lastStatus = ""
    private(set) var lastStep: String?
    /// Until it is done.
    var requestedDump: DumpRequest?
    /// How many bytes were written, and since when it has been so many.
    var dumpProgress: (completed: Int, since: ContinuousClock.Instant)?
    private let halt = HaltFile()
    private let end: @Sendable (Int32) -> Void

    /// - Parameters:
    ///   - end: called once with the exit status, when there is nothing left to do.
    public init(
        guest name: String,
        loop: EventLoop,
        loader: DefinitionLoader? = nil,
        calls: (any ProcessCalls)? = nil,
        end: @escaping @Sendable (Int32) -> Void
    ) {
        self.name = name
        self.loop = loop
        // A user manager's supervisor has what rights it needs, and nobody to ask for more.
        let isSystems = geteuid() == 0 && !Locations.current.isUser
        let calls: any ProcessCalls = calls ?? (isSystems ? HelperCalls() : OwnCalls())
        self.calls = calls
        self.loader = loader ?? DefinitionLoader(files: SystemDefinitionFiles(opening: calls.openForReading))
        self.end = end
        unit = "perdure@\(name).service"
    }

    /// Begins: finds out what there is of the guest and carries on from there.
    /// - Parameters:
    ///   - signals: a descriptor that SIGTERM and SIGUSR2 are read from.
    ///   - runtimeDirectory: where the control socket is made.
    public func start(signals: Descriptor, runtimeDirectory: String) {
        loop.spawn { await begin(signals, runtimeDirectory) }
    }

    private func begin(_ signals: Descriptor, _ runtimeDirectory: String) async {
        self.runtimeDirectory = runtimeDirectory
        watches.append(
            loop.whenReadable(signals) { [weak self] in
                self?.assumeIsolated { supervisor in
                    while let signal = try? Signals.next(from: signals) { supervisor.received(signal) }
                }
            }
        )
        adoption = AdoptionLink(guest: name)
        // What a restart before this one left half done must be known before anything is asked of systemd.
        let (decision, isRestart) = await recover()
        // Whoever asks is answered from what there is of the guest, not from before it was looked for.
        do {
            control = try ControlServer(path: "\(runtimeDirectory)/control", supervisor: self, loop: loop)
        } catch {
            journal(.controlSocketFailed("\(error)"))
        }
        // One that does not answer may still be carrying out what another supervisor has told it.
        if decision == .adopt { isContinueOverdue = true }
        post(.recovered(decision, isRestart: isRestart))
        let reloads = ReloadWatch(loop: loop) { [weak self] in self?.assumeIsolated { $0.managerReloaded() } }
        reloadWatch = reloads
        await reloads.start()
        reconcileMemoryAtRest()
        // The supervisor before may have died because, or while, systemd did not keep everything.
        checkStore()
    }

    // MARK: Events and effects

    func post(_ event: Lifecycle.Event) {
        let before = lifecycle.state
        for effect in lifecycle.handle(event) { carryOut(effect) }
        tellStatus()
        if case .standing = lifecycle.state, before != lifecycle.state {
            journalOutput()
            // An operation takes megabytes, to read what QEMU says of itself; the supervisor stays for years.
            ResidentMemory.trim()
        }
        concludeAdoption()
        seeThatItRuns()
        openAgentChannel()
        openDisplay()
    }

    private func carryOut(_ effect: Lifecycle.Effect) {
        switch effect {
        case .perform(let step): loop.spawn { await run(step) }
        case .reply(let ticket, let reply): replies.removeValue(forKey: ticket)?(reply)
        case .report(let report): journal(report)
        case .ready:
            Notifier.send("READY=1")
            startWatchdog()
        case .exit(let status): leave(status)
        }
    }

    func leave(_ status: Lifecycle.ExitStatus) {
        Notifier.send("STOPPING=1")
        control?.close()
        closeAgentChannel()
        closeDisplay()
        end(status.rawValue)
    }

    private func run(_ step: Step) async {
        extendTimeout()
        haltIfAsked(.before, step)
        let begin = ContinuousClock.now
        do {
            try await perform(step)
            durations[step] = .now - begin
            haltIfAsked(.after, step)
            post(.completed(step))
        } catch {
            durations[step] = .now - begin
            post(.failed(step, (error as? Lifecycle.Failure) ?? Lifecycle.Failure("\(error)")))
        }
    }

    private func haltIfAsked(_ moment: HaltFile.Moment, _ step: Step) {
        guard let halt, case .operating(let run) = lifecycle.state else { return }
        halt.reach(moment, step, of: run)
    }

    /// Asks for something on a person's behalf; `reply` is called once.
    func request(_ request: Request, qemu: String?, reply: @escaping (Lifecycle.Reply) -> Void) {
        tickets += 1
        replies[tickets] = reply
        if case .standing = lifecycle.state { requestedQEMU = qemu }
        post(.requested(request, tickets))
    }

    // MARK: Signals

    private func received(_ signal: Int32) {
        cutDump()
        switch signal {
        // systemd sends it for a restart only (RestartKillSignal=).
        case SIGUSR2: post(.terminate(.restart))
        case SIGTERM:
            loop.spawn {
                let termination = await meaningOfTermination()
                isStopWanted = termination == .stop
                wakeReloadWaiter()
                post(.terminate(termination))
            }
        default: break
        }
    }

    /// A SIGTERM means a stop only where systemd has a job to stop the unit.
    private func meaningOfTermination() async -> Termination {
        let unit = unit
        let job = try? await BlockingCalls.run { try Manager.job(of: unit, deadline: GuestSupervisor.managerDeadline) }
        switch job {
        case .stop: return .stop
        case .restart: return .restart
        default: return .signal
        }
    }

    // MARK: What systemd is told

    func tellStatus() {
        let (text, step) = (summary, toldStep)
        let (isNewText, isNewStep) = (text != lastStatus, step != lastStep)
        (lastStatus, lastStep) = (text, step)
        if isNewText || isNewStep { control?.statusChanged(self) }
        if isNewText { Notifier.send("STATUS=\(text)") }
    }

    /// What systemd was told while it did not listen is told again.
    func forgetStatus() { lastStatus = "" }

    /// Steps have deadlines of their own; systemd's must not cut a start or a stop short that makes progress.
    private func extendTimeout() {
        guard watchdog == nil || isStopWanted, case .operating = lifecycle.state else { return }
        let longest = timeouts.longest
        Notifier.send("EXTEND_TIMEOUT_USEC=\((longest + GuestSupervisor.killDeadline).microseconds)")
    }

    private func startWatchdog() {
        guard watchdog == nil, let interval = Notifier.watchdogInterval else { return }
        watchdog = loop.every(interval / 3) { [weak self] in
            self?.assumeIsolated { $0.feedWatchdog(deadline: interval / 4) }
        }
    }

    /// The watchdog is fed only while the guest's VM process answers.
    private func feedWatchdog(deadline: Duration) {
        journalOutput()
        loop.spawn { await feedWatchdogOnceAnswered(deadline) }
    }

    private func feedWatchdogOnceAnswered(_ deadline: Duration) async {
        guard case .standing(.running) = lifecycle.state, let current else {
            Notifier.send("WATCHDOG=1")
            return
        }
        do {
            _ = try await current.qmp.execute(QueryStatus(), deadline: deadline)
            Notifier.send("WATCHDOG=1")
        } catch QMPError.timedOut {
            journal(.vmProcessSilent(current.title))
        } catch {
            // Its end is reported where it is seen.
            Notifier.send("WATCHDOG=1")
        }
    }

    var timeouts: HandoverTimeouts { definition?.handover ?? HandoverTimeouts() }
}
