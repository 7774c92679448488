import Foundation
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Testing

@testable import Supervisor

/// What a ledger remembers of QEMUs.
struct RefusedLoadTests {
    private static let old = record(QEMUVersion(major: 10, minor: 0, micro: 13))

    private static func record(_ version: QEMUVersion, package: String = "Debian") -> VMProcessRecord {
        VMProcessRecord(
            generation: 1,
            pid: 4711,
            startTime: 12345,
            qemu: "/usr/bin/qemu-system-x86_64",
            version: version,
            package: package,
            hasFileMigration: true
        )
    }

    private static func facts(micro: Int = 3, package: String = "Debian") -> QEMUFacts {
        QEMUFacts(
            path: "/usr/bin/qemu-system-x86_64",
            version: QEMUVersion(major: 11, minor: 1, micro: micro),
            package: package,
            machines: [:],
            deprecatedMachines: [],
            cpuModels: [:],
            hasFileMigration: true,
            hasExitOnError: true,
            capabilities: [],
            properties: [:],
            characterBackends: [],
            blockDrivers: []
        )
    }

    private static func refusal(
        of old: VMProcessRecord = old,
        by facts: QEMUFacts = facts(),
        file: String = "/",
        remedies: [String] = [],
        reason: String = "VQ 0\nmore"
    ) throws -> RefusedLoad {
        RefusedLoad(of: old, by: facts, file: try .of(path: file), remedies: remedies, reason: reason)
    }

    private static func ledger(_ current: VMProcessRecord? = nil) -> Ledger {
        var ledger = Ledger(
            guest: "web",
            phase: .running,
            generation: 1,
            hardware: GuestHardware(
                machine: "pc-q35-7.2",
                accelerator: .tcg,
                cpuCount: 1,
                cpuModel: "qemu64-v1",
                ram: [RAMBlock(id: "main", size: 1 << 30)],
                kernel: DirectKernel(image: "/boot/vmlinuz")
            )
        )
        if let current { ledger.setCurrent(current) }
        return ledger
    }

    @Test func onlyQEMUsOwnJudgementIsARefusal() {
        let timedOut = QMPError.timedOut(command: "migrate-incoming", after: .seconds(5))
        let gone = QMPError.disconnected(command: "migrate-incoming", reason: "end of stream")
        func isRefusal(_ error: any Error, _ end: ProcessHandle.End? = nil, old: Bool = false) -> Bool {
            RefusedLoad.isRefusal(error, end: end, survivesFailure: !old)
        }
        #expect(isRefusal(MigrationFailed(description: "VQ 0")))
        #expect(isRefusal(gone, .exited(code: 1), old: true))
        #expect(!isRefusal(gone, .exited(code: 1)))
        #expect(!isRefusal(gone, .killed(signal: 9), old: true))
        for old in [false, true] {
            #expect(!isRefusal(timedOut, old: old))
            #expect(!isRefusal(QMPError.refused(command: "migrate-incoming", description: "no"), old: old))
            #expect(!isRefusal(Lifecycle.Failure("'vmstate' is not in the descriptor store"), old: old))
        }
    }

    @Test func anyDifferenceIsAnotherAttempt() throws {
        let known = try Self.refusal()
        #expect(known.isSameAttempt(as: try Self.refusal(reason: "other words")))
        let others = [
            try Self.refusal(of: Self.record(QEMUVersion(major: 10, minor: 0, micro: 14))),
            try Self.refusal(of: Self.record(QEMUVersion(major: 10, minor: 0, micro: 13), package: "other")),
            try Self.refusal(by: Self.facts(micro: 4)), try Self.refusal(by: Self.facts(package: "other")),
            try Self.refusal(file: "/proc"), try Self.refusal(remedies: ["virtio-queues-1024"]),
        ]
        for other in others { #expect(!known.isSameAttempt(as: other)) }
    }

    @Test func ledgerKeepsFewAndTheNewest() throws {
        var ledger = Self.ledger(Self.old)
        for micro in 0...2 * RefusedLoad.limit {
            ledger.remember(try Self.refusal(by: Self.facts(micro: micro)))
            ledger.remember(try Self.refusal(by: Self.facts(micro: micro), reason: String(repeating: "x", count: 9999)))
        }
        #expect(ledger.refusals?.count == RefusedLoad.limit)
        #expect(ledger.lastRefusal?.version.micro == 2 * RefusedLoad.limit)
        #expect(ledger.lastRefusal?.reason.count == 500)
        var file = try LedgerFile()
        try file.write(ledger)
        #expect(try LedgerFile.open(file.file).1 == ledger)

        ledger.setCurrent(Self.record(QEMUVersion(major: 10, minor: 1)))
        #expect(ledger.lastRefusal == nil)
    }

    @Test func whatHasTakenTheStateHasNotRefusedIt() throws {
        var ledger = Self.ledger(Self.old)
        ledger.remember(try Self.refusal(by: Self.facts(micro: 1)))
        ledger.remember(try Self.refusal(by: Self.facts(micro: 2)))
        ledger.forgetRefusals(by: Self.record(QEMUVersion(major: 11, minor: 1, micro: 2)))
        #expect(ledger.refusals?.map(\.version.micro) == [1])
        ledger.forgetRefusals(by: Self.record(QEMUVersion(major: 11, minor: 1, micro: 1)))
        #expect(ledger.refusals == nil)
    }

    @Test func sentenceIsOneLine() throws {
        #expect(
            try Self.refusal().sentence
                == "QEMU 11.1.3 ('/usr/bin/qemu-system-x86_64') does not take the guest's state "
                + "from QEMU 10.0.13: VQ 0"
        )
    }

    /// Once an old QEMU has run the guest, every newer one needs the remedy, however often it is handed over.
    @Test func whatQEMUsLeaveStays() {
        let new = QEMUVersion(major: 11, minor: 1, micro: 3)
        var ledger = Self.ledger(Self.record(new))
        #expect(ledger.remedies(for: new).isEmpty)
        ledger.setCurrent(Self.old)
        ledger.setCurrent(Self.record(new))
        #expect(ledger.remedies(for: new).map(\.remedy) == [.diskQueueSize(1024)])
        #expect(ledger.remedies(for: Self.old.version).isEmpty)
        #expect(ledger.leftovers == ["virtio-queues-1024"])

        // As a supervisor that did not know of this has left it.
        ledger.leftovers = nil
        #expect(ledger.remedies(for: new).isEmpty)
        ledger.current = Self.old
        #expect(ledger.remedies(for: new).count == 1)
        ledger.setCurrent(Self.record(new))
        #expect(ledger.remedies(for: new).count == 1)
    }
}
