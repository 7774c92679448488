@testable import Lifecycle

/// What the driver, the VM processes and the ledger do, as far as it matters for who may execute the guest.
struct GuestModel: Hashable {
    enum Activity: Hashable {
        case incoming, paused, running, poweredOff, ended
    }

    struct VMProcess: Hashable {
        var activity: Activity
        /// The guest has been executed elsewhere since this one held it: its device state fits RAM no more.
        var isStale = false
        /// It was told to continue, and may do so at any time.
        var mayContinue = false
        /// Its end is the driver's doing.
        var isEnding = false

        var isAlive: Bool { activity != .ended }
    }

    enum StateFile: Hashable {
        case empty, complete
        /// The guest has been executed since.
        case stale
    }

    struct Ledger: Hashable {
        var phase = Recovery.Phase.starting
        var current: Int?
        var other: Int?
        var hasSavedBytes = false
        var isRestart = false
        var isPaused = false

        mutating func note(_ phase: Recovery.Phase, current: Int?, other: Int?) {
            (self.phase, self.current, self.other) = (phase, current, other)
        }
    }

    /// VM processes by a number that does not matter, see `renumber`.
    var processes: [VMProcess] = []
    var current: Int?
    var next: Int?
    var previous: Int?
    var ledger: Ledger?
    var state = StateFile.empty
    /// What must never happen, and has.
    var violation: String?

    /// A step that has not had the effect that it was to have.
    struct Failed: Error, Equatable {
        var kind = Lifecycle.Failure.Kind.refused
    }

    // MARK: Steps

    mutating func perform(_ step: Step) throws(Failed) {
        switch step {
        case .readDefinition, .probeQEMU, .syncDisks: break
        case .createMemory: (ledger, state) = (Ledger(), .empty)
        case .startVMProcess: startVMProcess()
        case .connect: try alive(next)
        case .compare:
            try alive(next)
            guard ledger?.phase == .running else { break }
            try alive(current, where: .running, ledger?.isPaused == true ? .paused : .running)
            empty()
        case .recordSaving:
            ledger?.phase = .saving
            ledger?.hasSavedBytes = false
        case .stopGuest:
            try alive(current, where: .running, .paused)
            set(current, .paused)
            // Commands are carried out in their order.
            if let current { processes[current].mayContinue = false }
        case .saveState:
            try alive(current, where: .paused)
            state = .complete
            ledger?.hasSavedBytes = true
        case .recordSaved:
            ledger?.phase = .saved
            if current == nil { ledger?.current = nil }
        case .recordLoading: ledger?.phase = .loading
        case .loadState:
            try alive(next ?? current, where: .incoming)
            if state != .complete { violate("a state is loaded that is \(state)") }
            set(next ?? current, .paused)
        case .rehearseLoad:
            try alive(next, where: .incoming)
            if state != .complete { violate("a state is rehearsed that is \(state)") }
            set(next, .paused)
            // What it loaded is on a view of its own on RAM: it must never run.
            if let next { processes[next].isStale = true }
        case .recordCommit: try becomeCurrent(.committed)
        case .recordWaiting: try becomeCurrent(.waiting)
        case .recordRunning:
            if current == nil { try becomeCurrent(.running) } else { ledger?.phase = .running }
        case .continueGuest: try continueGuest()
        case .retireVMProcess: retirePrevious()
        case .takeBackCommit: takeBackCommit()
        case .endNextVMProcess: endNext()
        case .endVMProcess:
            end(current)
            current = nil
        case .discardState: discardState()
        case .changeMemory: try alive(current, where: .running)
        case .dumpGuest: try alive(current, where: .running, .paused)
        case .recordStopping: ledger?.phase = .stopping
        case .recordLost: ledger?.phase = .lost
        case .powerDown: try alive(current)
        case .awaitPowerOff: if let current, processes[current].activity == .running { throw Failed() }
        case .emptyStore:
            for process in processes.indices { end(process) }
            (current, next, previous, state) = (nil, nil, nil, .empty)
            if let ledger { self.ledger?.note(ledger.phase, current: nil, other: nil) }
        case .pauseGuest:
            try alive(current, where: .running, .paused)
            set(current, .paused)
            if let current { processes[current].mayContinue = false }
        case .recordPaused: ledger?.isPaused = true
        case .recordUnpaused: ledger?.isPaused = false
        case .resetGuest: try alive(current, where: .running, .paused)
        case .dumpMemory: break
        case .admitRestart: ledger = nil
        case .recordRestart: ledger?.isRestart = true
        }
        renumber()
    }

    private mutating func startVMProcess() {
        retirePrevious()
        let isIncoming = ledger?.current != nil || ledger?.hasSavedBytes == true
        processes.append(VMProcess(activity: isIncoming ? .incoming : .paused))
        next = processes.count - 1
        ledger?.other = next
    }

    /// The driver sees to it that the next VM process lives.
    private mutating func becomeCurrent(_ phase: Recovery.Phase) throws(Failed) {
        guard let next else {
            if phase == .committed { ledger?.phase = phase }
            return
        }
        try alive(next)
        let old = current
        ledger?.note(phase, current: next, other: old)
        (previous, current, self.next) = (old, next, nil)
    }

    private mutating func continueGuest() throws(Failed) {
        guard let current else { throw Failed() }
        switch processes[current].activity {
        case .ended, .poweredOff: throw Failed()
        case .paused where ledger?.isPaused == true: break
        case .incoming: violate("a VM process is continued that has loaded nothing")
        case .paused:
            noteContinuing()
            run(current)
        case .running: break
        }
    }

    mutating func noteContinuing() { if ledger?.phase == .committed { ledger?.phase = .continuing } }

    private mutating func run(_ process: Int) {
        if processes[process].isStale { violate("a VM process is continued after another has executed the guest") }
        processes[process].activity = .running
        for other in processes.indices where other != process {
            if processes[other].activity == .running { violate("two VM processes execute the guest") }
            if processes[other].activity != .incoming { processes[other].isStale = true }
        }
        if state == .complete { state = .stale }
    }

    private mutating func retirePrevious() {
        guard previous != nil else { return }
        end(previous)
        previous = nil
        ledger?.other = nil
        if ledger?.phase.isCommitted == true { ledger?.phase = .running }
    }

    private mutating func takeBackCommit() {
        guard let old = previous else { return }
        let new = current
        ledger?.note(.loading, current: old, other: new)
        (current, next, previous) = (old, new, nil)
    }

    private mutating func endNext() {
        end(next)
        next = nil
        ledger?.other = nil
    }

    private mutating func discardState() {
        ledger?.hasSavedBytes = false
        if ledger?.phase.isCommitted == true { ledger?.phase = .running }
        empty()
    }

    private mutating func empty() {
        let isHeld = processes.contains { $0.isAlive && !$0.isStale && $0.activity != .incoming }
        if state == .complete && !isHeld && !processes.contains(where: { $0.activity == .ended && !$0.isEnding }) {
            violate("the only copy of the device state is dropped")
        }
        state = .empty
    }

    // MARK: What happens by itself

    /// Whether the driver tells the lifecycle of it.
    mutating func die(_ process: Int) -> Bool {
        let isReported = process == current && !processes[process].isEnding
        processes[process].activity = .ended
        renumber()
        return isReported
    }

    mutating func powerOff(_ process: Int) { processes[process].activity = .poweredOff }

    /// A VM process continues long after it was told to.
    mutating func continueLate(_ process: Int) {
        processes[process].mayContinue = false
        if processes[process].activity == .paused { run(process) }
    }

    /// The next supervisor starts after this one was killed.
    mutating func recover(isSilent: Bool) -> (Recovery.Decision, isRestart: Bool) {
        (current, next, previous) = (nil, nil, nil)
        var evidence = Recovery.Evidence()
        if let ledger {
            evidence.ledger = .valid(ledger.phase)
            evidence.hasOtherDescriptors = true
            evidence.hasCompleteState = ledger.hasSavedBytes && state != .empty
            func living(_ process: Int?) -> Int? { process.flatMap { processes[$0].isAlive ? $0 : nil } }
            current = living(ledger.current)
            switch ledger.phase {
            case .committed, .continuing, .waiting: previous = living(ledger.other)
            case .starting, .running, .saving, .loading, .saved, .stopping, .lost: next = living(ledger.other)
            }
            if let current { evidence.current = look(at: current, isSilent) }
            if evidence.current == .running { self.ledger?.isPaused = false }
            evidence.isPausedOnPurpose = self.ledger?.isPaused == true
            if let previous, ledger.phase == .committed { evidence.previous = look(at: previous, isSilent) }
        }
        evidence.unknownScopes = processes.indices.filter { process in
            processes[process].isAlive && ![current, next, previous].contains(process)
        }.map { "scope \($0)" }
        let decision = Recovery.decide(evidence)
        let isRestart = ledger?.isRestart ?? false
        prepare(for: decision)
        renumber()
        return (decision, isRestart)
    }

    private mutating func look(at process: Int, _ isSilent: Bool) -> Recovery.VMProcess {
        if isSilent { return .silent }
        if processes[process].mayContinue { continueLate(process) }
        return switch processes[process].activity {
        case .incoming: .incoming
        case .paused: .paused
        case .running: .running
        case .poweredOff: .poweredOff
        case .ended: .absent
        }
    }

    private mutating func prepare(for decision: Recovery.Decision) {
        switch decision {
        case .unclear, .lost: return
        case .start:
            for process in processes.indices { end(process) }
            (current, next, previous, ledger, state) = (nil, nil, nil, nil, .empty)
        case .adopt, .remainSaved(hasVMProcess: true): endNext()
        case .remainSaved(hasVMProcess: false):
            for process in processes.indices { end(process) }
            (current, next, previous) = (nil, nil, nil)
            ledger?.note(.saved, current: nil, other: nil)
        case .remainWaiting: retirePrevious()
        case .rollBack, .conclude: if current == nil { takeBackCommit() }
        case .finishHandover, .continueStop: break
        }
        ledger?.isRestart = false
    }

    // MARK: Helpers

    func activity(_ process: Int?) -> Activity? { process.map { processes[$0].activity } }

    mutating func violate(_ what: String) { violation = violation ?? what }

    private func alive(_ process: Int?, where allowed: Activity...) throws(Failed) {
        guard let process, processes[process].isAlive else { throw Failed() }
        if !allowed.isEmpty, !allowed.contains(processes[process].activity) { throw Failed() }
    }

    private mutating func set(_ process: Int?, _ activity: Activity) {
        if let process { processes[process].activity = activity }
    }

    private mutating func end(_ process: Int?) {
        guard let process else { return }
        processes[process].activity = .ended
        processes[process].isEnding = true
    }

    /// Forgets VM processes that have ended and that nothing names, and numbers the others in one order, so that the
    /// same situation is always the same value.
    private mutating func renumber() {
        var order: [Int] = []
        for process in [current, next, previous, ledger?.current, ledger?.other].compactMap({ $0 })
        where !order.contains(process) { order.append(process) }
        for process in processes.indices where !order.contains(process) && processes[process].isAlive {
            order.append(process)
        }
        func new(_ old: Int?) -> Int? { old.flatMap { order.firstIndex(of: $0) } }
        (current, next, previous) = (new(current), new(next), new(previous))
        if let ledger { self.ledger?.note(ledger.phase, current: new(ledger.current), other: new(ledger.other)) }
        processes = order.map { old in
            var process = processes[old]
            if process.activity == .ended { (process.isStale, process.mayContinue) = (false, false) }
            return process
        }
    }
}
