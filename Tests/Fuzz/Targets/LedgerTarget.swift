import FoundationEssentials
import GuestDefinition
import Linux

@testable import Supervisor

/// A ledger's memory file. Behind a first byte "P" there are the payloads of both slots, with a NUL byte between them,
/// which get headers with correct checksums; what begins otherwise is the file as it is.
enum LedgerTarget {
    static func check(_ input: [UInt8]) throws -> Bool {
        let file = try MemoryFile.create("ledger", size: 2 * LedgerFile.slotSize, growth: .fixed)
        if input.first == UInt8(ascii: "P") {
            let payloads = input.dropFirst().split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
            for (slot, payload) in payloads.enumerated() {
                let bytes = framed(Array(payload.prefix(60_000)), sequence: UInt64(slot) + 1)
                try file.write(bytes, at: UInt64(slot) * LedgerFile.slotSize)
            }
        } else {
            try file.write(Array(input.prefix(Int(2 * LedgerFile.slotSize))), at: 0)
        }
        let found: Ledger
        var ledgerFile: LedgerFile
        do {
            (ledgerFile, found) = try LedgerFile.open(file)
        } catch let problem as LedgerFile.Problem {
            try requireShowable("\(problem)")
            return false
        } catch is DecodingError {
            return false
        }
        try checkUse(of: found)
        // What is written is what is read.
        var next = found
        next.generation += 1
        do {
            try ledgerFile.write(next)
        } catch let error as SystemCallError where error.object == "ledger" {
            return true
        }
        let (_, again) = try LedgerFile.open(file)
        try require(again == next, "a ledger reads as something else than was written")
        return true
    }

    /// What a supervisor does with a ledger that it accepts.
    private static func checkUse(of ledger: Ledger) throws {
        for record in [ledger.current, ledger.other].compactMap({ $0 }) {
            _ = GuestScopes.name(guest: ledger.guest, generation: record.generation + 1)
            _ = "\(record.version)"
        }
        _ = ledger.lastPause.map { Milliseconds(microseconds: $0).description }
        _ = ledger.hardware.changes(from: ledger.hardware)
        let ram = Dictionary(ledger.hardware.memoryBlocks.map { ($0.id, Int32(7)) }) { first, _ in first }
        _ = QEMUCommandLine.arguments(
            guest: ledger.guest,
            generation: ledger.generation + 1,
            hardware: ledger.hardware,
            descriptors: VMProcessDescriptors(ram: ram, qmp: 8, consoleLog: 9, agent: 10, tpm: 11),
            version: QEMUVersion(major: 7, minor: 2),
            incoming: true
        )
    }

    private static func framed(_ payload: [UInt8], sequence: UInt64) -> [UInt8] {
        func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }
        let checksum = CRC32.of(littleEndian(sequence) + payload)
        return Array("PRDL".utf8) + littleEndian(UInt32(payload.count)) + littleEndian(sequence)
            + littleEndian(checksum) + [0, 0, 0, 0] + payload
    }
}
