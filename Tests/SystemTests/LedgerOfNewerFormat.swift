import Foundation
import SystemTestSupport

/// Makes a running guest's ledger one that a newer perdure has written, as one would that needs older ones to stay away.
struct LedgerOfNewerFormat {
    private static let slotSize = 64 << 10
    private static let headerSize = 24

    private let slot: Int
    private let before: Data

    /// - Parameter supervisor: the number of a process on this machine that has the ledger open.
    init(heldBy supervisor: Int32) throws {
        let path = try Self.path(heldBy: supervisor)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let slots = (0..<2).map { bytes.subdata(in: $0 * Self.slotSize..<($0 + 1) * Self.slotSize) }
        let sequences = slots.map { $0.starts(with: Data("PRDL".utf8)) ? Self.number($0[8..<16]) : 0 }
        let newest = sequences[0] > sequences[1] ? 0 : 1
        let length = Int(Self.number(slots[newest][4..<8]))
        let text = String(decoding: slots[newest][Self.headerSize..<(Self.headerSize + length)], as: UTF8.self)
        let payload = Data(text.replacingOccurrences(of: #""format":1"#, with: #""format":2"#).utf8)
        guard payload != Data(text.utf8) else { throw CommandFailure(description: "The ledger has no format: \(text)") }
        slot = 1 - newest
        before = slots[slot]

        let sequence = Self.bytes(sequences[newest] + 1, count: 8)
        let checksum = UInt64(crc32(sequence + payload))
        let header = Data("PRDL".utf8) + Self.bytes(UInt64(payload.count), count: 4) + sequence
        try Self.write(header + Self.bytes(checksum, count: 4) + Data(count: 4) + payload, to: path, slot)
    }

    /// The ledger says again what it said.
    /// - Parameter supervisor: likewise; the one from before may be gone.
    func undo(heldBy supervisor: Int32) throws { try Self.write(before, to: Self.path(heldBy: supervisor), slot) }

    private static func path(heldBy supervisor: Int32) throws -> String {
        let directory = "/proc/\(supervisor)/fd"
        let found = try FileManager.default.contentsOfDirectory(atPath: directory).map { "\(directory)/\($0)" }.first {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: $0)) == "/memfd:ledger (deleted)"
        }
        guard let found else { throw CommandFailure(description: "Process \(supervisor) has no ledger.") }
        return found
    }

    private static func write(_ bytes: Data, to path: String, _ slot: Int) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try file.seek(toOffset: UInt64(slot * slotSize))
        try file.write(contentsOf: bytes)
        try file.close()
    }

    private static func number(_ bytes: Data) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    private static func bytes(_ number: UInt64, count: Int) -> Data {
        Data((0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) })
    }
}
