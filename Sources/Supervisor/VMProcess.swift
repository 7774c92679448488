import Glibc
import GuestDefinition
import Linux
import QMP

/// One QEMU process as its supervisor sees it. Belongs to the actor that made it.
final class VMProcess {
    var record: VMProcessRecord
    let handle: ProcessHandle
    let qmp: QMPClient
    /// Nil where it is not known yet.
    var output: ProcessOutput?
    let facts: QEMUFacts?
    var exitWatch: ReadWatch?
    /// What its TPM is in, which is not to outlive it.
    var tpm: TPMEmulator?
    /// What it was started with, where that may differ from what the ledger says.
    var hardware: GuestHardware?
    /// Once looked at.
    var view: ProcessView?
    /// What CPUID says to the guest, once asked: it does not change.
    var cpu: CPUFeatures?
    /// Microseconds since the epoch, by QEMU's clock.
    var stoppedAt: Int64?
    /// QEMU's words about a dump of the guest's memory that it did not bring to its end.
    var dumpFailure: String?
    var resumedAt: Int64?
    /// By its last event.
    var isStopped = false
    /// How often it has been stopped.
    var stops = 0
    /// It has been asked whether the guest runs, and has not answered.
    var isBeingAsked = false
    /// IDs of DIMMs that the guest has given up, and that are not looked after yet.
    var unplugged: Set<String> = []
    /// What is plugged may be otherwise than the ledger says: another supervisor's work may have been cut off.
    var mayDiffer = false
    /// The guest has powered itself off, and this process only waits to be ended.
    var isPoweredOff = false
    var isPreparedToSave = false
    var isPreparedToLoad = false
    /// It is there for a rehearsal: it has a view of its own on RAM and never becomes the guest's.
    var isThrowAway = false
    /// It reads what is typed at the console; nil where that is not known.
    var takesConsoleInput: Bool?
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

    /// As the kernel has it; empty once the process has ended.
    var commandLine: [String] {
        let bytes = try? Descriptor.open("/proc/\(record.pid)/cmdline", O_RDONLY).read(at: 0, count: 128 << 10)
        return (bytes ?? []).split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    var title: String { "VM process \(generation) (pid \(record.pid))" }
}
