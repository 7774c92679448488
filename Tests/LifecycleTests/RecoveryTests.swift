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
        saving      lost         unclear              rollBack  rollBack             unclear          conclude
        loading     saved/lost   unclear              rollBack  rollBack             unclear          conclude
        committed   lost         finish               finish    finish               unclear          conclude
        saved       saved/unclear savedWithVM/unclear unclear   savedWithVM/unclear  saved/unclear    saved/unclear
        waiting     saved/unclear saved/unclear       unclear   saved/unclear        waiting/unclear  saved/unclear
        stopping    conclude     stop                 stop      stop                 stop             conclude
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
            #expect(!Verdict(decision).usesGuest)
            guard case .valid(let phase) = evidence.ledger, phase != .starting, evidence.unknownScopes.isEmpty else {
                continue
            }
            #expect(decision == .unclear(reason: "'ram.main' is gone"))
        }
    }

    @Test func unknownScopesAreAlwaysUnclear() {
        for evidence in Self.everything where !evidence.unknownScopes.isEmpty {
            guard case .unclear(let reason) = Recovery.decide(evidence) else {
                Issue.record("\(evidence)")
                continue
            }
            #expect(reason.contains("'perdure-a-g7.scope'") && reason.contains("systemctl stop"))
        }
    }

    @Test func whatCannotBeReadIsUnclear() {
        for evidence in Self.everything where evidence.unknownScopes.isEmpty {
            switch evidence.ledger {
            case .unreadable:
                #expect(Recovery.decide(evidence) == .unclear(reason: "the ledger can't be read: the reason"))
            case .absent:
                #expect(Verdict(Recovery.decide(evidence)) == (evidence.hasOtherDescriptors ? .unclear : .start))
            case .valid: break
            }
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
