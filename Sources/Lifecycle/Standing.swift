/// How a guest stands while nothing is being done to it.
public enum Standing: Hashable, Sendable {
    case off
    case running
    /// The device state is in `vmstate`. The VM process that saved it may still be there, paused.
    case saved(hasVMProcess: Bool)
    /// A VM process waits for the device state to be loaded into it.
    case waiting
    /// What there is contradicts itself. Nothing is touched until a person has looked.
    case unclear(reason: String)
}

/// What a person can ask for.
public enum Request: String, CaseIterable, Sendable {
    case save
    case exec
    case load
    case upgrade
    case rehearse
    case changeMemory
    /// Have its memory and registers, for a debugger.
    case dump
    /// Save it, and end its VM process.
    case hold
    /// Have it stand still.
    case pause
    /// Have it run, wherever it stands still.
    case resume
    /// Press its reset button.
    case reset
    /// Press its power button.
    case powerdown
    /// End it as a power cut would.
    case kill

    /// The operation that answers the request where the guest stands so, or why not.
    /// - Parameter isPaused: a person wants the guest to stand still.
    public func operation(standing: Standing, isPaused: Bool = false) -> Result<Operation, Refusal> {
        switch (self, standing) {
        case (_, .unclear(let reason)):
            return .failure(Refusal("nothing is done to it until this is cleared up: \(reason)"))
        case (_, .off): return .failure(Refusal("the guest is not running", isNotRunning: true))
        case (.kill, _): return .success(.kill)
        case (_, .running): return operationOfRunning(isPaused: isPaused)
        case (.exec, .saved), (.exec, .waiting): return .success(.exec)
        case (.load, .waiting), (.resume, .waiting): return .success(.load)
        case (.resume, .saved(let hasVMProcess)): return .success(hasVMProcess ? .resume : .restore)
        case (.load, .saved):
            return .failure(
                Refusal("the guest is saved, but no new VM process waits for it; run 'perdure exec' first")
            )
        case (.upgrade, .waiting), (.rehearse, .waiting), (.changeMemory, .waiting):
            return .failure(Refusal("a new VM process waits to load the saved guest; go on with 'perdure load'"))
        case (.upgrade, .saved), (.rehearse, .saved), (.changeMemory, .saved):
            return .failure(Refusal("the guest is saved; go on with 'perdure exec' and 'perdure load'"))
        case (.save, _):
            return .failure(Refusal("the guest is saved already; go on with 'perdure exec' and 'perdure load'"))
        case (.hold, _), (.pause, _):
            return .failure(Refusal("the guest is saved, and stands still; 'perdure resume' continues it"))
        case (.reset, _), (.powerdown, _), (.dump, _):
            return .failure(Refusal("the guest is saved; 'perdure resume' continues it first"))
        }
    }

    private func operationOfRunning(isPaused: Bool) -> Result<Operation, Refusal> {
        switch self {
        case .save: .success(.save)
        case .hold: .success(.hold)
        case .upgrade: .success(.handover)
        case .reset: .success(.reset)
        case .kill: .success(.kill)
        case .dump: .success(.dump)
        case .exec: .failure(Refusal("the guest is not saved; run 'perdure save' first"))
        case .load: .failure(Refusal("the guest is running: there is no saved state to load"))
        case .pause: isPaused ? .failure(Refusal("the guest is paused already")) : .success(.pause)
        case .resume: isPaused ? .success(.unpause) : .failure(Refusal("the guest is not paused"))
        // QEMU does not save a second time what has not run since the first.
        case .rehearse: isPaused ? .failure(Request.isPaused) : .success(.rehearse)
        case .powerdown: isPaused ? .failure(Request.isPaused) : .success(.powerdown)
        // The guest has a part in it.
        case .changeMemory: isPaused ? .failure(Request.isPaused) : .success(.changeMemory)
        }
    }

    private static let isPaused = Refusal("the guest is paused; 'perdure resume' continues it first")
}

/// Why a request can't be granted now. Nothing has been changed.
public struct Refusal: Error, Equatable, Sendable {
    public let reason: String
    public let isNotRunning: Bool

    public init(_ reason: String, isNotRunning: Bool = false) {
        self.reason = reason
        self.isNotRunning = isNotRunning
    }
}

/// Why the supervisor is to end.
public enum Termination: Equatable, Sendable {
    /// The unit is restarted: the next supervisor carries on.
    case restart
    /// The unit is stopped: the guest is powered off.
    case stop
    /// A signal with no job behind it: the guest is left alone.
    case signal
}
