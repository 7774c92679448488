import SystemTestSupport
import Testing

@Suite struct GuestDiskLogTests {
    private static func record(_ number: UInt64, boot: UInt64) -> [UInt8] {
        func bytes(_ value: UInt64, _ size: Int = 8) -> [UInt8] { (0..<size).map { UInt8(value >> ($0 * 8) & 0xff) } }
        let content =
            bytes(0x4452_4f43_5245_5052) + bytes(number) + bytes(boot)
            + [UInt8](repeating: UInt8(number & 0xff), count: 484)
        return content + bytes(UInt64(crc32(content)), 4)
    }

    private static let empty = [UInt8](repeating: 0, count: 512)
    private static let good = record(1, boot: 10) + record(2, boot: 10) + record(3, boot: 11) + empty

    @Test func findsTheLastRecordAndTheBoots() {
        let log = GuestDiskLog(Self.good)
        #expect(log.problems == [])
        #expect(log.lastRecord == 3)
        #expect(log.boots == ["000000000000000a", "000000000000000b"])
        #expect(GuestDiskLog(Self.empty).lastRecord == 0)
    }

    @Test func catchesAChangedByte() {
        for index in [0, 8, 16, 100, 511] {
            var log = Self.good
            log[512 + index] ^= 1
            #expect(GuestDiskLog(log).problems == ["Sector 1 is no record.", "Record 2 is missing."])
        }
    }

    @Test func catchesALostRecord() {
        let log = Self.record(1, boot: 10) + Self.empty + Self.record(3, boot: 10)
        #expect(GuestDiskLog(log).problems == ["Record 2 is missing."])
    }

    @Test func catchesAnOldRecordInTheRing() {
        var log = (1...2048).flatMap { Self.record($0, boot: 10) }
        log.replaceSubrange(0..<512, with: Self.record(2049, boot: 10))
        #expect(GuestDiskLog(log).problems == [])
        log.replaceSubrange(1024..<1536, with: Self.record(2051, boot: 10))
        #expect(
            GuestDiskLog(log).problems == ["Record 2050 is missing.", "There are records older than 4."]
        )
    }

    @Test func catchesARecordInTheWrongPlace() {
        let log = Self.record(1, boot: 10) + Self.record(3, boot: 10)
        #expect(GuestDiskLog(log).problems == ["Sector 1 holds record 3, which does not belong there."])
    }
}
