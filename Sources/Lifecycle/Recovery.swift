/// What a supervisor does with what it finds when it starts.
public enum Recovery {
    /// How far the previous supervisor had come, as the ledger says.
    public enum Phase: String, CaseIterable, Codable, Sendable {
        /// The guest has not executed an instruction yet.
        case starting
        case running
        /// The guest's VM process is being stopped and its device state saved.
        case saving
        /// The device state is complete in `vmstate`, and being loaded into the next VM process.
        case loading
        /// The next VM process has become the guest's, and has not been told to continue it.
        case committed
        /// It may have been told: what it has replaced must never run again.
        case continuing
        case saved
        case waiting
        /// The guest is off, or is being powered off.
        case stopping
        case lost

        /// A handover, or a load, has been decided and not been concluded.
        public var isCommitted: Bool { self == .committed || self == .continuing }
    }

    /// What one VM process is found to be doing.
    public enum VMProcess: Equatable, Sendable, CaseIterable {
        /// The ledger names none, or it has ended.
        case absent
        /// It lives and does not answer.
        case silent
        case running
        /// It executes nothing, and can be continued.
        case paused
        /// It waits for device state.
        case incoming
        /// The guest has powered itself off.
        case poweredOff
    }

    public enum Ledger: Equatable, Sendable {
        case absent
        case unreadable(reason: String)
        case valid(Phase)
    }

    public struct Evidence: Equatable, Sendable {
        public var ledger: Ledger
        /// Other descriptors of the guest are in the store.
        public var hasOtherDescriptors: Bool
        /// RAM blocks that the ledger names and the store does not hold as it should, with the reason.
        public var ramProblems: [String]
        /// Whether `vmstate` holds as many bytes as the ledger says were saved.
        public var hasCompleteState: Bool
        /// A person wants the guest to stand still.
        public var isPausedOnPurpose: Bool
        /// The VM process that is the guest's by the ledger.
        public var current: VMProcess
        /// The one that it has replaced.
        public var previous: VMProcess
        /// Scopes of the guest, with living processes, that the ledger does not name.
        public var unknownScopes: [String]

        public init(
            ledger: Ledger = .absent,
            hasOtherDescriptors: Bool = false,
            ramProblems: [String] = [],
            hasCompleteState: Bool = false,
            isPausedOnPurpose: Bool = false,
            current: VMProcess = .absent,
            previous: VMProcess = .absent,
            unknownScopes: [String] = []
        ) {
            self.ledger = ledger
            self.hasOtherDescriptors = hasOtherDescriptors
            self.ramProblems = ramProblems
            self.hasCompleteState = hasCompleteState
            self.isPausedOnPurpose = isPausedOnPurpose
            self.current = current
            self.previous = previous
            self.unknownScopes = unknownScopes
        }

        fileprivate var beforeCommit: Evidence {
            var evidence = self
            (evidence.current, evidence.previous) = (previous, .absent)
            return evidence
        }
    }

    public enum Decision: Equatable, Sendable {
        case start
        /// The guest runs; take care of it.
        case adopt
        case rollBack
        case finishHandover
        case remainSaved(hasVMProcess: Bool)
        case remainWaiting
        case continueStop
        case conclude
        case lost(reason: String)
        case unclear(reason: String)
    }

    public static func decide(_ evidence: Evidence) -> Decision {
        switch (evidence.ledger, evidence.unknownScopes.first) {
        // All VM processes are unknown then, the guest's own as well.
        case (.unreadable(let reason), _):
            return .unclear(
                reason: "the ledger can't be read: \(reason). The guest may be running. If a newer perdure wrote it, "
                    + "install that one and restart this unit"
            )
        case (_, let scope?):
            return .unclear(
                reason: "a VM process that the ledger does not know is alive in '\(scope)'; "
                    + "if the guest can be given up, 'systemctl stop \(scope)' and restart this unit"
            )
        case (.absent, nil):
            if !evidence.hasOtherDescriptors { return .start }
            return .unclear(
                reason: "the descriptor store holds parts of a guest, but no ledger that explains them; "
                    + "if the guest can be given up, stop this unit, which drops them, and start it again; "
                    + "a restart keeps them"
            )
        case (.valid(let phase), nil):
            // A guest that has executed nothing yet, or shall not any more, needs no RAM.
            let needsRAM = ![.starting, .stopping, .lost].contains(phase)
            if needsRAM, let problem = evidence.ramProblems.first { return .unclear(reason: "\(problem). \(advice)") }
            return decide(phase, evidence)
        }
    }

    /// For what no supervisor brings about by itself.
    private static let advice =
        "Nothing has been changed. Stopping this unit gives the guest up; restarting it looks at everything again"

    private static func decide(_ phase: Phase, _ evidence: Evidence) -> Decision {
        switch (phase, evidence.current) {
        // It never ran, so nothing is lost with it.
        case (.starting, _): .start

        case (.running, .running), (.running, .silent): .adopt
        case (.running, .paused) where evidence.isPausedOnPurpose: .adopt
        case (.running, .incoming):
            .unclear(reason: "the ledger says that the guest runs; its VM process waits for a state to load. \(advice)")
        // Started, and not continued before the supervisor's end; or paused by the guest's own doing.
        case (.running, .paused): .rollBack
        case (.running, .poweredOff), (.saving, .poweredOff), (.stopping, .poweredOff), (.committed, .poweredOff),
            (.continuing, .poweredOff):
            .conclude
        case (.running, .absent): .lost(reason: "its VM process ended while no supervisor was there to see it")

        case (.saving, .running), (.saving, .paused): .rollBack
        case (.saving, .silent), (.loading, .silent):
            .unclear(
                reason: "a handover was cut off, and the VM process that holds the guest does not answer; "
                    + "once it does, restarting the unit continues the guest"
            )
        case (.saving, .incoming), (.loading, .incoming):
            .unclear(reason: "the ledger takes a VM process for the guest's that has never loaded it. \(advice)")

        // Saving is complete, so the old VM process can't be running; if it does, it is the guest all the same.
        case (.loading, .running), (.loading, .paused): .rollBack
        case (.loading, .poweredOff): .conclude
        // 'vmstate' has all of the guest that was in the VM process, which has run nothing since.
        case (.saving, .absent), (.loading, .absent):
            evidence.hasCompleteState
                ? .remainSaved(hasVMProcess: false)
                : .lost(reason: "its VM process ended during a handover, and the saved state is not complete")

        // A silent one is not known to have been continued; the one it has replaced must go in any case.
        case (.committed, .running), (.committed, .paused), (.committed, .silent), (.continuing, .running),
            (.continuing, .paused), (.continuing, .silent):
            .finishHandover
        case (.committed, .incoming), (.continuing, .incoming):
            .unclear(reason: "the ledger says that the state was loaded; the VM process still waits for it. \(advice)")
        // It has run nothing, so everything is as it was before the commit.
        case (.committed, .absent): decide(.loading, evidence.beforeCommit)
        case (.continuing, .absent): .lost(reason: "its VM process ended right after a handover")

        case (.saved, _) where !evidence.hasCompleteState, (.waiting, _) where !evidence.hasCompleteState:
            .unclear(reason: "the guest was saved, but 'vmstate' does not hold the whole of it. \(advice)")
        case (.saved, .running), (.waiting, .running):
            .unclear(reason: "the guest was saved, but its VM process runs it. \(advice)")
        case (.saved, .paused), (.saved, .silent): .remainSaved(hasVMProcess: true)
        case (.saved, .absent), (.saved, .incoming), (.saved, .poweredOff): .remainSaved(hasVMProcess: false)
        case (.waiting, .incoming): .remainWaiting
        // A load that was cut off before its commit: the state is still there to be loaded again.
        case (.waiting, .absent), (.waiting, .paused), (.waiting, .silent), (.waiting, .poweredOff):
            .remainSaved(hasVMProcess: false)

        case (.stopping, .absent): .conclude
        case (.stopping, _): .continueStop
        case (.lost, _): .lost(reason: "as an earlier supervisor has reported")
        }
    }
}
