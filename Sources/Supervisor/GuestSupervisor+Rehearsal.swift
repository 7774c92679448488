import GuestDefinition
import Lifecycle
import QMP

/// A VM process that took the guest's state and was thrown away.
struct Rehearsal: CustomStringConvertible {
    var qemu: String
    var version: QEMUVersion
    /// Microseconds that the guest was paused.
    var pause = 0

    var description: String { "QEMU '\(qemu)' (\(version))" }
}

extension GuestSupervisor {
    /// What is started now is to be thrown away.
    var isRehearsing: Bool {
        if case .operating(let run) = lifecycle.state { return run.operation == .rehearse }
        return false
    }

    /// As a load, into a VM process that sees RAM as it is now and keeps what it writes there to itself.
    func rehearseLoad() async throws {
        guard let next, next.isThrowAway else { throw Lifecycle.Failure("no VM process is there for the rehearsal") }
        rehearsal = Rehearsal(qemu: next.record.qemu, version: next.record.version)
        try await loadState()
    }
}
