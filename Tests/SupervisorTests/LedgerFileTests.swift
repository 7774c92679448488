import Foundation
import GuestDefinition
import Lifecycle
import Linux
import Testing

@testable import Supervisor

struct LedgerFileTests {
    private static let hardware = GuestHardware(
        machine: "pc-q35-7.2",
        accelerator: .tcg,
        cpuCount: 2,
        cpuModel: "qemu64-v1",
        ram: [RAMBlock(id: "main", size: 1 << 30)],
        kernel: DirectKernel(image: "/boot/vmlinuz"),
        disks: [],
        console: true
    )

    private static func ledger(_ generation: Int, phase: Recovery.Phase = .running) -> Ledger {
        let record = VMProcessRecord(
            generation: generation,
            pid: 4711,
            startTime: 12345,
            qemu: "/usr/bin/qemu-system-x86_64",
            version: QEMUVersion(major: 7, minor: 2),
            package: "Debian 1:7.2",
            hasFileMigration: false
        )
        return Ledger(
            guest: "web",
            phase: phase,
            generation: generation,
            current: record,
            hardware: hardware,
            savedBytes: 9
        )
    }

    private static func reread(_ file: Descriptor) throws -> Ledger { try LedgerFile.open(file).1 }

    /// What the two slots hold.
    private static func image(_ file: Descriptor) throws -> [UInt8] {
        try file.read(at: 0, count: Int(2 * LedgerFile.slotSize))
    }

    private static func file(_ image: [UInt8]) throws -> Descriptor {
        let file = try MemoryFile.create("ledger", size: 2 * LedgerFile.slotSize, growth: .fixed)
        try file.write(image, at: 0)
        return file
    }

    @Test(arguments: Recovery.Phase.allCases)
    func roundTrip(phase: Recovery.Phase) throws {
        var ledgerFile = try LedgerFile()
        for generation in 1...5 {
            var ledger = Self.ledger(generation, phase: phase)
            ledger.other = generation == 2 ? ledger.current : nil
            ledger.files = generation == 5 ? ["rom.firmware", "rom.of-a-newer-version"] : nil
            (ledger.isRestart, ledger.lastPause) = (generation == 3, generation == 4 ? 8_300 : nil)
            try ledgerFile.write(ledger)
            #expect(try Self.reread(ledgerFile.file.reopened(O_RDONLY)) == ledger)
        }
    }

    @Test func emptyLedger() throws {
        let file = try LedgerFile().file
        #expect(throws: LedgerFile.Problem.noValidSlot) { try LedgerFile.open(file) }
    }

    /// The supervisor may be killed at every byte of a write.
    @Test(arguments: [1, 2]) func tornWrite(before: Int) throws {
        var ledgerFile = try LedgerFile()
        for generation in 1...before { try ledgerFile.write(Self.ledger(generation)) }
        let old = try Self.image(ledgerFile.file)
        // Every byte of the payload differs in length at least.
        var changed = Self.ledger(before + 1)
        changed.guest = "another"
        try ledgerFile.write(changed)
        let new = try Self.image(ledgerFile.file)
        let slot = (before + 1) % 2 * Int(LedgerFile.slotSize)
        let last = try #require(new.indices.last { new[$0] != old[$0] })
        let torn = try Self.file(old)
        for end in slot...last {
            #expect(try Self.reread(torn) == Self.ledger(before), "\(end - slot) bytes were written")
            try torn.write([new[end]], at: UInt64(end))
        }
        #expect(try Self.reread(torn) == changed)
    }

    /// After a torn write the next one goes over it, never over the copy that is whole.
    @Test func writesAfterATornWrite() throws {
        var ledgerFile = try LedgerFile()
        for generation in 1...2 { try ledgerFile.write(Self.ledger(generation)) }
        let before = try Self.image(ledgerFile.file)
        try ledgerFile.write(Self.ledger(3))
        var torn = try Self.image(ledgerFile.file)
        torn[Int(LedgerFile.slotSize) + 40] ^= 1
        let file = try Self.file(torn)
        var (successor, found) = try LedgerFile.open(file)
        #expect(found == Self.ledger(2))
        try successor.write(Self.ledger(4))
        let after = try Self.image(file)
        #expect(Array(after[..<Int(LedgerFile.slotSize)]) == Array(before[..<Int(LedgerFile.slotSize)]))
        #expect(try Self.reread(file) == Self.ledger(4))
    }

    @Test func damage() throws {
        var ledgerFile = try LedgerFile()
        for generation in 1...2 { try ledgerFile.write(Self.ledger(generation)) }
        let image = try Self.image(ledgerFile.file)
        let slot = Int(LedgerFile.slotSize)
        // Magic, length, sequence, checksum and payload of the newest, which is in the first slot.
        for byte in [0, 4, 7, 8, 15, 16, 19, 24, 100] {
            var damaged = image
            damaged[byte] ^= 0xFF
            #expect(try Self.reread(Self.file(damaged)) == Self.ledger(1))
            damaged[slot + byte] ^= 0xFF
            #expect(throws: LedgerFile.Problem.noValidSlot) { try Self.reread(Self.file(damaged)) }
        }
        let noise = (0..<image.count).map { _ in UInt8.random(in: 0...255) }
        #expect(throws: LedgerFile.Problem.noValidSlot) { try Self.reread(Self.file(noise)) }
    }

    @Test func newerFormat() throws {
        var ledgerFile = try LedgerFile()
        try ledgerFile.write(Self.ledger(1))
        var newer = Self.ledger(2)
        newer.format = 2
        try ledgerFile.write(newer)
        // The older copy would be readable, and wrong.
        #expect(throws: LedgerFile.Problem.newerFormat(2)) { try Self.reread(ledgerFile.file) }
    }

    @Test func foreignFiles() throws {
        let size = 2 * LedgerFile.slotSize
        for other in [0, size - 1, size + 1] {
            let file = try MemoryFile.create("ledger", size: other, growth: .fixed)
            #expect(throws: LedgerFile.Problem.wrongSize) { try LedgerFile.open(file) }
        }
        let unsealed = try MemoryFile.create("ledger", size: size, growth: .allowed)
        #expect(throws: LedgerFile.Problem.wrongSize) { try LedgerFile.open(unsealed) }
    }

    @Test func successors() throws {
        var first = try LedgerFile()
        try first.write(Self.ledger(1))
        var (second, _) = try LedgerFile.open(first.file)
        try second.write(Self.ledger(2))
        var (third, found) = try LedgerFile.open(first.file)
        #expect(found == Self.ledger(2))
        try third.write(Self.ledger(3))
        #expect(try Self.reread(first.file) == Self.ledger(3))
    }

    @Test func tooLong() throws {
        var ledgerFile = try LedgerFile()
        try ledgerFile.write(Self.ledger(1))
        var long = Self.ledger(2)
        long.guest = String(repeating: "x", count: Int(LedgerFile.slotSize))
        #expect(throws: SystemCallError("write", on: "ledger", code: EFBIG)) { try ledgerFile.write(long) }
        #expect(try Self.reread(ledgerFile.file) == Self.ledger(1))
        try ledgerFile.write(Self.ledger(2))
        #expect(try Self.reread(ledgerFile.file) == Self.ledger(2))
    }

    @Test func copiesAreThoseThatWereMade() {
        var ledger = Self.ledger(1)
        ledger.hardware.kernel?.initrd = "/boot/initrd"
        ledger.hardware.cloudInit = CloudInit(instanceID: "i", hostname: "h", userData: "/srv/user-data")
        ledger.hardware.credentials = [Credential(id: "a", name: "n", file: "/srv/secret")]
        #expect(ledger.copiedPaths == [])
        ledger.files = ["rom.kernel", "rom.firmware"]
        #expect(ledger.copiedPaths == ["/boot/vmlinuz"])
        ledger.files = ["rom.kernel", "rom.initrd", "rom.seed", "credential.a"]
        #expect(ledger.copiedPaths == ["/boot/vmlinuz", "/boot/initrd", "/srv/user-data", "/srv/secret"])
    }

    /// As a newer version may write it without raising the format.
    @Test func unknownMembersAreNoProblem() throws {
        var members = try #require(
            try JSONSerialization.jsonObject(with: JSONEncoder().encode(Self.ledger(1))) as? [String: Any]
        )
        members["added"] = ["later": 1]
        let data = try JSONSerialization.data(withJSONObject: members)
        #expect(try JSONDecoder().decode(Ledger.self, from: data) == Self.ledger(1))
    }

    @Test(arguments: [
        ("", 0), ("a", 0xE8B7_BE43), ("123456789", 0xCBF4_3926),
        ("The quick brown fox jumps over the lazy dog", 0x414F_A339),
    ])
    func checksum(text: String, expected: UInt32) { #expect(CRC32.of(Array(text.utf8)) == expected) }
}
