import Glibc
import Linux
import QMP

/// One QEMU process as its supervisor sees it. Belongs to the actor that made it.
final class VMProcess {
    let record: VMProcessRecord
    let handle: ProcessHandle
    let qmp: QMPClient
    let output: ProcessOutput?
    let facts: QEMUFacts?
    var exitWatch: ReadWatch?
    /// Microseconds since the epoch, by QEMU's clock.
    var stoppedAt: Int64?
    var resumedAt: Int64?
    /// The guest has powered itself off, and this process only waits to be ended.
    var isPoweredOff = false
    var isPreparedToSave = false
    var isPreparedToLoad = false
    /// Its end is our doing.
    var isEnding = false
    var end: ProcessHandle.End?
    var whenEnded: [CheckedContinuation<Void, Never>] = []

    init(record: VMProcessRecord, handle: ProcessHandle, qmp: QMPClient, output: ProcessOutput?, facts: QEMUFacts?) {
        self.record = record
        self.handle = handle
        self.qmp = qmp
        self.output = output
        self.facts = facts
    }

    var generation: Int { record.generation }

    var title: String { "VM process \(generation) (pid \(record.pid))" }
}
