import FoundationEssentials
import Glibc
import GuestDefinition
import Lifecycle
import Linux

/// The little that must be known to carry on after a supervisor's end.
///
/// A guest may run for years through many versions of this program: names of coding keys never change, a field added
/// later is optional, and `format` is raised only where an older supervisor would go wrong.
struct Ledger: Codable, Equatable, Sendable {
    static let currentFormat = 1

    var format = Ledger.currentFormat
    var guest: String
    var phase: Recovery.Phase
    /// The generation of the newest VM process that was ever started for this guest.
    var generation: Int
    /// The VM process that is the guest's.
    var current: VMProcessRecord?
    /// The one being made ready before a commit, the one replaced after it.
    var other: VMProcessRecord?
    /// Machine type and CPU model are pinned to versioned names.
    var hardware: GuestHardware
    /// How many bytes of device state `vmstate` holds.
    var savedBytes: UInt64?
    /// The supervisor that wrote this made way for one that is to replace the VM process, too.
    var isRestart = false
    /// A person wants the guest to stand still.
    var isPaused: Bool?
    /// Microseconds since the epoch: since when the guest has been running, saved and so on. A handover changes nothing.
    var standingSince: Int?
    /// Microseconds that the guest was paused by the last handover.
    var lastPause: Int?
    /// What the QEMUs that the guest has run in may have left in its state, see `KnownIncompatibility`.
    var leftovers: [String]?
    /// QEMUs that did not take the guest's state, the newest last.
    var refusals: [RefusedLoad]?
    /// Nil where QEMU has not said it.
    var memoryMap: [GuestMemoryRange]?
    /// Memory that the guest is being given.
    var plugging: RAMBlock?
    /// Path of the file that the RAM of the guest, now lost, has been kept in.
    var dump: String?
    /// When the guest was started anew after it had been lost, in seconds of the host's uptime.
    var restarts: [Int]?
    /// Names of the files that were read for the guest when it was started; nil where none was.
    var files: [String]?
    /// The paths that firmware among them was read from, by their names; nil where no one has noted them.
    var firmwarePaths: [String: String]?
    /// The QEMU in which the guest has booted or rebooted last; nil where no one has seen it.
    var bootedIn: QEMUVersion?
    /// Nil where no handover was tried yet.
    var handovers: HandoverCounters?
    /// How many bytes of the console's output are in the journal; nil where they do not go there.
    var consoleForwarded: UInt64?
}

extension Ledger {
    /// More than any guest can have had.
    private static let lastGeneration = 1 << 40
    /// An hour, in microseconds.
    private static let longestPause = 3_600_000_000

    /// What can't be carried on with, whoever wrote it; nil where nothing speaks against it.
    fileprivate var implausibility: String? {
        let generations = [generation, current?.generation, other?.generation].compactMap { $0 }
        if !generations.allSatisfy((0...Ledger.lastGeneration).contains) { return "the VM processes' generations" }
        if [current, other].contains(where: { $0.map { $0.pid <= 0 } ?? false }) { return "a VM process's pid" }
        if let lastPause, !(0...Ledger.longestPause).contains(lastPause) { return "the last pause" }
        if !hardware.isPlausible { return "the guest's hardware" }
        return nil
    }
}

extension Ledger {
    /// Whether the next VM process is to load the guest instead of booting it.
    var isIncoming: Bool { current != nil || savedBytes != nil }

    /// Paths of the files that the guest has copies of.
    var copiedPaths: Set<String> {
        let names = Set(files ?? [])
        var paths = hardware.pinnedPaths.filter { names.contains(Inventory.file($0.key)) }.map(\.value)
        if names.contains(Inventory.file(.seed)), let seed = hardware.cloudInit {
            paths += seed.files
        }
        paths += (hardware.credentials ?? []).filter { names.contains(Inventory.credential($0.id)) }.map(\.file)
        return Set(paths)
    }

    enum Standing: Equatable {
        case starting, running, paused, saved, ending
    }

    /// What `standingSince` is of; equal for ledgers between which a person sees no difference.
    var standing: Standing {
        switch phase {
        case .starting: .starting
        case .running, .saving, .loading, .committed, .continuing: isPaused == true ? .paused : .running
        case .saved, .waiting: .saved
        case .stopping, .lost: .ending
        }
    }
}

enum LedgerTime {
    /// Microseconds since the epoch.
    static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    }
}

/// Which process a VM process is, and what it runs.
struct VMProcessRecord: Codable, Equatable, Sendable {
    var generation: Int
    var pid: Int32
    /// Clock ticks after boot; with `pid` it names the process once and for all.
    var startTime: UInt64
    var qemu: String
    var version: QEMUVersion
    /// The distribution's name for the build, as QEMU gives it.
    var package: String
    /// Whether it saves to and loads from files by name, see `QEMUFacts`.
    var hasFileMigration: Bool
    /// The number under which the process has the supervisor's end of its monitor open; nil where it has not.
    var monitor: Int32?
    /// Nil where it has no console, or was started by a supervisor that knew of no input.
    var console: ConsoleDescriptors?
    /// How many bytes of what the process said are in the journal.
    var journaledOutput: Int?
    /// The numbers under which the process has the guest's other sockets open, by their names in the store.
    var sockets: [String: Int32]?
    /// The numbers under which it has queues of networks open, by their names in the inventory.
    var taps: [String: Int32]?
    /// The process that its TPM is in.
    var tpm: TPMRecord?
    /// What it was before, of a process that Perdure did not start; nil for its own.
    var foreign: ForeignState?

    var isForeign: Bool { foreign != nil }
}

/// What is put back when a VM process that others have started is left to them after all.
struct ForeignState: Codable, Equatable, Sendable {
    /// Migration's capabilities that a handover sets, as they were.
    var capabilities: [String: Bool]
}

/// The numbers under which a VM process has what belongs to its serial console.
struct ConsoleDescriptors: Codable, Equatable, Sendable {
    var log: Int32
    var input: Int32?
}

/// The ledger's memory file: two slots that are written in turn, so that one is whole at any instant.
struct LedgerFile: Sendable {
    enum Problem: Error, Equatable, CustomStringConvertible {
        case noValidSlot
        case newerFormat(Int)
        case wrongSize
        case implausible(String)

        var description: String {
            switch self {
            case .noValidSlot: "neither of its two copies is whole"
            case .newerFormat(let format): "it has format \(format), which only a newer perdure understands"
            case .wrongSize: "its file is not as perdure makes it"
            case .implausible(let what): "what it says of \(what) can't be"
            }
        }
    }

    static let slotSize: UInt64 = 64 << 10
    private static let magic: [UInt8] = Array("PRDL".utf8)
    private static let headerSize = 24

    let file: Descriptor
    private var sequence: UInt64 = 0

    /// A new, empty ledger.
    init() throws {
        file = try MemoryFile.create("ledger", size: 2 * LedgerFile.slotSize, growth: .fixed)
        try file.restrictToOwner()
    }

    /// For a VM process to keep: it can't write to it, unless it runs as the supervisor's user.
    func readOnly() throws -> Descriptor { try file.reopened(O_RDONLY) }

    /// Opens a ledger that another supervisor has written, and reads what it says.
    static func open(_ file: Descriptor) throws -> (LedgerFile, Ledger) {
        guard try file.size() == 2 * slotSize, MemoryFile.isSealed(file) else { throw Problem.wrongSize }
        var newest: (sequence: UInt64, payload: [UInt8])?
        for slot: UInt64 in 0..<2 {
            let bytes = try file.read(at: slot * slotSize, count: Int(slotSize))
            if let found = decode(bytes), found.sequence > (newest?.sequence ?? 0) { newest = found }
        }
        guard let newest else { throw Problem.noValidSlot }
        struct Format: Decodable { let format: Int }
        let format = try JSONDecoder().decode(Format.self, from: Data(newest.payload)).format
        if format > Ledger.currentFormat { throw Problem.newerFormat(format) }
        let ledger = try JSONDecoder().decode(Ledger.self, from: Data(newest.payload))
        if let what = ledger.implausibility { throw Problem.implausible(what) }
        return (LedgerFile(file: file, sequence: newest.sequence), ledger)
    }

    private init(file: Descriptor, sequence: UInt64) {
        self.file = file
        self.sequence = sequence
    }

    /// Replaces what the ledger says. Whoever reads it sees the old or the new, nothing between.
    mutating func write(_ ledger: Ledger) throws {
        let payload = try [UInt8](JSONEncoder().encode(ledger))
        guard LedgerFile.headerSize + payload.count <= LedgerFile.slotSize else {
            throw SystemCallError("write", on: "ledger", code: EFBIG)
        }
        let next = sequence + 1
        var bytes = LedgerFile.magic
        bytes += LedgerFile.littleEndian(UInt32(payload.count))
        bytes += LedgerFile.littleEndian(next)
        bytes += LedgerFile.littleEndian(CRC32.of(LedgerFile.littleEndian(next) + payload))
        bytes += [0, 0, 0, 0]
        try file.write(bytes + payload, at: next % 2 * LedgerFile.slotSize)
        sequence = next
    }

    private static func decode(_ bytes: [UInt8]) -> (sequence: UInt64, payload: [UInt8])? {
        guard bytes.count > headerSize, Array(bytes[0..<4]) == magic else { return nil }
        let length = Int(number(bytes[4..<8]))
        guard length > 0, headerSize + length <= bytes.count else { return nil }
        let payload = Array(bytes[headerSize..<(headerSize + length)])
        guard number(bytes[16..<20]) == UInt64(CRC32.of(Array(bytes[8..<16]) + payload)) else { return nil }
        return (number(bytes[8..<16]), payload)
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The checksum of Ethernet and zlib.
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    }

    static func of(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { table[Int(($0 ^ UInt32($1)) & 0xFF)] ^ ($0 >> 8) }
    }
}
