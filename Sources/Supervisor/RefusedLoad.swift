import GuestDefinition
import Lifecycle
import Linux

/// A QEMU that did not take the guest's state from another one. The guest was paused for that attempt: it is not
/// repeated as long as nothing has changed, unless a person asks for it.
struct RefusedLoad: Codable, Equatable, Sendable {
    /// How many are remembered, the newest ones.
    static let limit = 8
    private static let longestReason = 500

    /// The QEMU that the guest runs in.
    let oldVersion: QEMUVersion
    let oldPackage: String
    let qemu: String
    let version: QEMUVersion
    let package: String
    let file: FileIdentity
    /// What was done to make it take the state: a later version of this program may know more.
    let remedies: [String]
    /// In QEMU's words.
    let reason: String

    init(of old: VMProcessRecord, by facts: QEMUFacts, file: FileIdentity, remedies: [String], reason: String) {
        (oldVersion, oldPackage) = (old.version, old.package)
        (qemu, version, package) = (facts.path, facts.version, facts.package)
        (self.file, self.remedies) = (file, remedies)
        self.reason = String(reason.prefix(RefusedLoad.longestReason))
    }

    /// Whether a load has failed by QEMU's own judgement: whatever else goes wrong may go well the next time.
    /// - Parameter survivesFailure: false for a QEMU before 9.1, which exits when a load fails.
    static func isRefusal(_ error: any Error, end: ProcessHandle.End?, survivesFailure: Bool) -> Bool {
        if error is MigrationFailed { return true }
        if case .exited = end { return !survivesFailure }
        return false
    }

    func isFrom(_ old: VMProcessRecord) -> Bool { oldVersion == old.version && oldPackage == old.package }

    /// Everything but QEMU's words, which may hold numbers that differ each time.
    func isSameAttempt(as other: RefusedLoad) -> Bool {
        oldVersion == other.oldVersion && oldPackage == other.oldPackage && qemu == other.qemu
            && version == other.version && package == other.package && file == other.file
            && remedies == other.remedies
    }

    /// Completes "not handed over: …".
    var sentence: String {
        let words = reason.split(separator: "\n").first.map(String.init) ?? ""
        return "QEMU \(version) ('\(qemu)') does not take the guest's state from QEMU \(oldVersion): \(words)"
    }
}

extension Ledger {
    /// A ledger of an earlier version of this program does not name them.
    private var knownLeftovers: [String] {
        leftovers ?? current.map { KnownIncompatibility.left(by: $0.version) } ?? []
    }

    /// Makes a VM process the guest's.
    mutating func setCurrent(_ record: VMProcessRecord) {
        let known = knownLeftovers
        current = record
        leftovers = known + KnownIncompatibility.left(by: record.version).filter { !known.contains($0) }
    }

    /// What a QEMU needs to take the guest's state.
    func remedies(for version: QEMUVersion) -> [KnownIncompatibility] {
        KnownIncompatibility.remedies(for: knownLeftovers, in: version)
    }

    mutating func remember(_ refusal: RefusedLoad) {
        let others = (refusals ?? []).filter { !$0.isSameAttempt(as: refusal) }
        refusals = (others + [refusal]).suffix(RefusedLoad.limit)
    }

    /// It has taken the state now.
    mutating func forgetRefusals(by record: VMProcessRecord) {
        let left = (refusals ?? []).filter { $0.version != record.version || $0.package != record.package }
        refusals = left.isEmpty ? nil : left
    }

    /// The newest refusal to take the guest from the VM process that it runs in.
    var lastRefusal: RefusedLoad? {
        guard let current else { return nil }
        return refusals?.last { $0.isFrom(current) }
    }
}

extension GuestSupervisor {
    func rememberRefusal(_ error: any Error, by vm: VMProcess, _ reason: String) -> RefusedLoad? {
        let survivesFailure = vm.facts?.hasExitOnError ?? true
        guard RefusedLoad.isRefusal(error, end: vm.end, survivesFailure: survivesFailure), vm === next, let current,
            let refusal = refusal(of: current.record, reason)
        else { return nil }
        // Where it can't be written down, the next restart only tries again.
        try? record { $0.remember(refusal) }
        return refusal
    }

    private func refusal(of old: VMProcessRecord, _ reason: String) -> RefusedLoad? {
        guard let facts, let file = factsOf?.identity, let ledger else { return nil }
        let remedies = ledger.remedies(for: facts.version).map(\.id)
        return RefusedLoad(of: old, by: facts, file: file, remedies: remedies, reason: reason)
    }

    /// A handover that nobody has asked for is not tried where it is known to fail.
    func checkRefusals() throws {
        guard case .operating(let run) = lifecycle.state, !run.isRequested, let current = current?.record,
            let attempt = refusal(of: current, ""),
            let known = ledger?.refusals?.last(where: { $0.isSameAttempt(as: attempt) })
        else { return }
        throw Lifecycle.Failure(known.sentence, kind: .known)
    }
}
