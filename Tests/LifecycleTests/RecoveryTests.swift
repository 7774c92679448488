import Testing

@testable import Lifecycle

struct RecoveryTests {
    /// Decisions without their reasons.
    enum Verdict: String, CaseIterable {
        case start, adopt, rollBack, finish, saved, savedWithVM, waiting, stop, conclude, lost, unclear

        init(_ decision: Recovery.Decision) {
            self =
                switch decision {
                case .start: .start
                case .adopt: .adopt
                case .rollBack: .rollBack
                case .finishHandover: .finish
                case .remainSaved(hasVMProcess: false): .saved
                case .remainSaved(hasVMProcess: true): .savedWithVM
                case .remainWaiting: .waiting
                case .continueStop: .stop
                case .conclude: .conclude
                case .lost: .lost
                case .unclear: .unclear
                }
        }

        /// Whether the guest is, or may be, executed from what there is of it.
        var usesGuest: Bool {
            switch self {
            case .adopt, .rollBack, .finish, .saved, .savedWithVM, .waiting, .stop: true
            case .start, .conclude, .lost, .unclear: false
            }
        }
    }

    /// By phase and by what the VM process is doing; `a/b` where it matters whether the saved state is complete (a).
    private static let table = """
                    absent       silent               running   paused               incoming         poweredOff
        starting    start        start                start     start                start            start
        running     lost         adopt                adopt     rollBack             unclear          conclude
        saving      saved/lost   unclear              rollBack  rollBack             unclear          conclude
        loading     saved/lost   unclear              rollBack  rollBack             unclear          conclude
        committed   saved/lost   finish               finish    finish               unclear          conclude
        continuing  lost         finish               finish    finish               unclear          conclude
        saved       saved/unclear savedWithVM/unclear unclear   savedWithVM/unclear  saved/unclear    saved/unclear
        waiting     saved/unclear saved/unclear       unclear   saved/unclear        waiting/unclear  saved/unclear
        stopping    conclude     stop                 stop      stop                 stop             conclude
        lost        lost         lost                 lost      lost                 lost             lost
        """

    private static func expected(
        _ phase: Recovery.Phase,
        _ vmProcess: Recovery.VMProcess,
        isComplete: Bool
    ) throws -> Verdict {
        let lines = table.split(separator: "\n").map { $0.split(separator: " ") }
        let column = try #require(lines[0].firstIndex { $0 == "\(vmProcess)" })
        let row = try #require(lines.first { $0[0] == phase.rawValue })
        let cell = row[column + 1].split(separator: "/")
        return try #require(Verdict(rawValue: String(isComplete ? cell[0] : cell[cell.count - 1])))
    }

    @Test(arguments: Recovery.Phase.allCases, Recovery.VMProcess.allCases)
    func table(phase: Recovery.Phase, vmProcess: Recovery.VMProcess) throws {
        for isComplete in [false, true] {
            for others in [false, true] {
                var evidence = Recovery.Evidence(
                    ledger: .valid(phase),
                    hasCompleteState: isComplete,
                    current: vmProcess
                )
                evidence.hasOtherDescriptors = others
                let found = Verdict(Recovery.decide(evidence))
                #expect(try found == Self.expected(phase, vmProcess, isComplete: isComplete))
            }
        }
    }

    /// A guest that stands still because a person wants it so is as well as one that runs. Nothing else changes with it.
    @Test(arguments: Recovery.Phase.allCases, Recovery.VMProcess.allCases)
    func aGuestThatIsPausedOnPurpose(phase: Recovery.Phase, vmProcess: Recovery.VMProcess) throws {
        let evidence = Recovery.Evidence(
            ledger: .valid(phase),
            hasCompleteState: true,
            isPausedOnPurpose: true,
            current: vmProcess
        )
        let isStill = phase == .running && vmProcess == .paused
        let expected = try isStill ? .adopt : Self.expected(phase, vmProcess, isComplete: true)
        #expect(Verdict(Recovery.decide(evidence)) == expected)
    }

    /// Everything that can be found.
    private static let everything: [Recovery.Evidence] = {
        let ledgers: [Recovery.Ledger] =
            [.absent, .unreadable(reason: "the reason")] + Recovery.Phase.allCases.map { .valid($0) }
        var found: [Recovery.Evidence] = []
        for ledger in ledgers {
            for vmProcess in Recovery.VMProcess.allCases {
                for flags in 0..<16 {
                    found.append(
                        Recovery.Evidence(
                            ledger: ledger,
                            hasOtherDescriptors: flags & 1 != 0,
                            ramProblems: flags & 2 != 0 ? ["'ram.main' is gone"] : [],
                            hasCompleteState: flags & 4 != 0,
                            current: vmProcess,
                            unknownScopes: flags & 8 != 0 ? ["perdure-a-g7.scope"] : []
                        )
                    )
                }
            }
        }
        return found
    }()

    @Test func aGuestIsStartedOnlyWhereThereIsNone() {
        for evidence in Self.everything where Recovery.decide(evidence) == .start {
            #expect(evidence.unknownScopes.isEmpty)
            switch evidence.ledger {
            case .valid(let phase): #expect(phase == .starting)
            case .absent: #expect(!evidence.hasOtherDescriptors)
            case .unreadable: Issue.record("a guest is started although its ledger can't be read")
            }
        }
    }

    @Test func aGuestWhoseRAMHasProblemsIsNotTouched() {
        for evidence in Self.everything where !evidence.ramProblems.isEmpty {
            let decision = Recovery.decide(evidence)
            guard case .valid(let phase) = evidence.ledger else {
                #expect(!Verdict(decision).usesGuest)
                continue
            }
            // A guest that shall end does so without its memory in the store, too.
            #expect(!Verdict(decision).usesGuest || Verdict(decision) == .stop)
            guard ![.starting, .stopping, .lost].contains(phase), evidence.unknownScopes.isEmpty else { continue }
            guard case .unclear(let reason) = decision else {
                Issue.record("\(evidence)")
                continue
            }
            #expect(reason.hasPrefix("'ram.main' is gone. "))
        }
    }

    @Test func unknownScopesAreAlwaysUnclear() {
        for evidence in Self.everything where !evidence.unknownScopes.isEmpty {
            // Without a ledger that can be read, the guest's own scope is unknown as well.
            if case .unreadable = evidence.ledger { continue }
            guard case .unclear(let reason) = Recovery.decide(evidence) else {
                Issue.record("\(evidence)")
                continue
            }
            #expect(reason.contains("'perdure-a-g7.scope'") && reason.contains("systemctl stop"))
        }
    }

    @Test func whatCannotBeReadIsUnclear() {
        for evidence in Self.everything {
            switch evidence.ledger {
            case .unreadable:
                guard case .unclear(let reason) = Recovery.decide(evidence) else {
                    Issue.record("\(evidence)")
                    continue
                }
                // Nobody is told to end the scopes: the guest's is one of them.
                #expect(reason.contains("the reason") && reason.contains("newer") && !reason.contains("systemctl"))
            case .absent:
                if !evidence.unknownScopes.isEmpty { continue }
                #expect(Verdict(Recovery.decide(evidence)) == (evidence.hasOtherDescriptors ? .unclear : .start))
            case .valid: break
            }
        }
    }

    /// Beyond `starting` there is a guest, and nothing boots another in its place.
    @Test func nothingIsStartedWhereAGuestWas() {
        for evidence in Self.everything {
            guard case .valid(let phase) = evidence.ledger, phase != .starting else { continue }
            #expect(Recovery.decide(evidence) != .start)
        }
    }

    /// A VM process that nobody knows may be executing the guest.
    @Test func nothingIsContinuedBesideAnUnknownVMProcess() {
        for evidence in Self.everything where !evidence.unknownScopes.isEmpty {
            let verdict = Verdict(Recovery.decide(evidence))
            #expect(!verdict.usesGuest && ![.start, .lost, .conclude].contains(verdict))
        }
    }

    /// Whatever is left of a guest that can be continued is kept: it is lost only with its VM process.
    @Test func aGuestIsLostOnlyWithItsVMProcessAndItsState() {
        for evidence in Self.everything where Verdict(Recovery.decide(evidence)) == .lost {
            guard case .valid(let phase) = evidence.ledger, phase != .lost else { continue }
            #expect(evidence.current == .absent)
            if [.saving, .loading, .committed].contains(phase) { #expect(!evidence.hasCompleteState) }
        }
    }

    /// Until its commit a handover is taken back, and from then on it is finished.
    @Test func theCommitDecides() {
        for evidence in Self.everything {
            guard case .valid(let phase) = evidence.ledger else { continue }
            switch Verdict(Recovery.decide(evidence)) {
            case .rollBack:
                let hasRunNothing = phase == .committed && evidence.current == .absent
                #expect(hasRunNothing || [.running, .saving, .loading].contains(phase))
            case .finish: #expect(phase.isCommitted)
            default: break
            }
        }
    }

    /// What has become the guest's, and ended without having been told to continue it, has changed nothing.
    @Test(arguments: Recovery.VMProcess.allCases, [false, true])
    func aCommitThatCameToNothingIsTakenBack(previous: Recovery.VMProcess, isComplete: Bool) throws {
        let evidence = Recovery.Evidence(
            ledger: .valid(.committed),
            hasCompleteState: isComplete,
            previous: previous
        )
        #expect(try Verdict(Recovery.decide(evidence)) == Self.expected(.loading, previous, isComplete: isComplete))
        var continuing = evidence
        continuing.ledger = .valid(.continuing)
        #expect(Verdict(Recovery.decide(continuing)) == .lost)
    }

    /// Who is told that nothing is done is told what can be done.
    @Test func whatIsUnclearIsExplained() {
        for evidence in Self.everything {
            guard case .unclear(let reason) = Recovery.decide(evidence) else { continue }
            #expect(reason.contains("restart") || reason.contains("install"), "\(reason)")
        }
    }

    /// Only what executes, or is known to have loaded or never left its state, is continued.
    @Test func whatWaitsForAStateIsNeverContinued() {
        for evidence in Self.everything where [.incoming, .absent, .poweredOff].contains(evidence.current) {
            let verdict = Verdict(Recovery.decide(evidence))
            #expect(![.adopt, .rollBack, .finish, .savedWithVM].contains(verdict))
        }
    }

    @Test func aSavedGuestIsKeptOnlyWithItsWholeState() {
        for evidence in Self.everything
        where [.saved, .savedWithVM, .waiting].contains(Verdict(Recovery.decide(evidence))) {
            #expect(evidence.hasCompleteState)
        }
    }
}
