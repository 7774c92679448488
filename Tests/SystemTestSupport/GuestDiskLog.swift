import Foundation

/// The record log at the start of a test guest's raw disk image, as `Tests/Guest/disk.c` writes it.
package struct GuestDiskLog: Sendable {
    /// The highest record number found, or 0 if the log is empty. It must not be below what the guest has reported as
    /// acknowledged.
    package let lastRecord: UInt64
    /// The boots that wrote the records still there, oldest first.
    package let boots: [String]
    /// One sentence for each sector that is damaged or out of order.
    package let problems: [String]

    private static let recordSize = 512
    private static let recordCount = 2048
    private static let magic: UInt64 = 0x4452_4f43_5245_5052

    package init(image path: String) throws {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? file.close() }
        self.init([UInt8](try file.read(upToCount: Self.recordSize * Self.recordCount) ?? Data()))
    }

    package init(_ log: [UInt8]) {
        var problems: [String] = []
        var records: [(number: UInt64, boot: UInt64)] = []
        for sector in 0..<log.count / Self.recordSize {
            let bytes = log[sector * Self.recordSize..<(sector + 1) * Self.recordSize]
            if bytes.allSatisfy({ $0 == 0 }) {
                continue
            }
            func integer(at offset: Int, size: Int = 8) -> UInt64 {
                bytes.dropFirst(offset).prefix(size).reversed().reduce(0) { $0 << 8 | UInt64($1) }
            }
            let number = integer(at: 8)
            if integer(at: 0) != Self.magic || integer(at: 508, size: 4) != UInt64(crc32(bytes.prefix(508))) {
                problems.append("Sector \(sector) is no record.")
            } else if number == 0 || (number - 1) % UInt64(Self.recordCount) != UInt64(sector) {
                problems.append("Sector \(sector) holds record \(number), which does not belong there.")
            } else {
                records.append((number, integer(at: 16)))
            }
        }
        records.sort { $0.number < $1.number }
        let last = records.last?.number ?? 0
        let expected = min(last, UInt64(Self.recordCount))
        for number in Set((last - expected)..<last).subtracting(records.map { $0.number - 1 }).sorted() {
            problems.append("Record \(number + 1) is missing.")
        }
        if let oldest = records.first?.number, oldest <= last - expected {
            problems.append("There are records older than \(last - expected + 1).")
        }
        lastRecord = last
        boots = records.reduce(into: []) { boots, record in
            let digits = String(record.boot, radix: 16)
            let id = String(repeating: "0", count: 16 - digits.count) + digits
            if boots.last != id {
                boots.append(id)
            }
        }
        self.problems = problems
    }
}
