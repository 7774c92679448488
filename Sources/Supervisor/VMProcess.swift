import Glibc
import Linux
import QMP

/// One QEMU process as its supervisor sees it. Belongs to the actor that made it.
final class VMProcess {
    let record: VMProcessRecord
    let handle: ProcessHandle
    let qmp: QMPClient
    /// What QEMU wrote to standard output and standard error.
    let output: Descriptor?
    let facts: QEMUFacts?
    var exitWatch: ReadWatch?
    var consoleWatch: ReadWatch?
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

    init(record: VMProcessRecord, handle: ProcessHandle, qmp: QMPClient, output: Descriptor?, facts: QEMUFacts?) {
        self.record = record
        self.handle = handle
        self.qmp = qmp
        self.output = output
        self.facts = facts
    }

    var generation: Int { record.generation }

    var title: String { "VM process \(generation) (pid \(record.pid))" }

    /// QEMU's last words, nil where it said nothing.
    var lastWords: String? {
        guard let output, let bytes = try? output.read(at: 0, count: VMProcess.outputSize) else { return nil }
        let lines = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self).split(separator: "\n")
        let useful = lines.suffix(3).map { $0.filter { !$0.isNewline && $0 != "\0" } }
        return useful.isEmpty ? nil : useful.joined(separator: "; ")
    }

    /// How many bytes of QEMU's output are kept. What comes after is dropped.
    static let outputSize = 64 << 10

    /// A file for QEMU's output that outlives the supervisor, never blocks QEMU, and does not grow.
    static func makeOutput() throws -> Descriptor {
        try MemoryFile.create("vm-output", size: UInt64(outputSize), growth: .fixed)
    }
}
