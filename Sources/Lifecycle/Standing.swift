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

    /// The operation that answers the request where the guest stands so, or why not.
    public func operation(standing: Standing) -> Result<Operation, Refusal> {
        switch (self, standing) {
        case (.save, .running): .success(.save)
        case (.upgrade, .running): .success(.handover)
        case (.rehearse, .running): .success(.rehearse)
        case (.changeMemory, .running): .success(.changeMemory)
        case (.exec, .saved), (.exec, .waiting): .success(.exec)
        case (.load, .waiting): .success(.load)
        case (_, .unclear(let reason)): .failure(Refusal("nothing is done to it until this is cleared up: \(reason)"))
        case (_, .off): .failure(Refusal("the guest is not running", isNotRunning: true))
        case (.save, .saved), (.save, .waiting):
            .failure(Refusal("the guest is saved already; go on with 'perdure exec' and 'perdure load'"))
        case (.exec, .running): .failure(Refusal("the guest is not saved; run 'perdure save' first"))
        case (.load, .running): .failure(Refusal("the guest is running: there is no saved state to load"))
        case (.load, .saved):
            .failure(Refusal("the guest is saved, but no new VM process waits for it; run 'perdure exec' first"))
        case (.upgrade, .saved), (.rehearse, .saved), (.changeMemory, .saved):
            .failure(Refusal("the guest is saved; go on with 'perdure exec' and 'perdure load'"))
        case (.upgrade, .waiting), (.rehearse, .waiting), (.changeMemory, .waiting):
            .failure(Refusal("a new VM process waits to load the saved guest; go on with 'perdure load'"))
        }
    }
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
