import Linux
import Testing

@testable import Supervisor

/// Which of the files that a QEMU has open is its RAM.
struct ForeignMemoryTests {
    private static let size: UInt64 = 256 << 20

    /// Identities of files that are there, since there is no other way to have one.
    private static func identity(_ path: String) throws -> FileIdentity { try FileIdentity.of(path: path) }

    private static func candidate(_ identity: FileIdentity, size: UInt64 = size) -> ForeignMemory.Candidate {
        ForeignMemory.Candidate(name: "/dev/shm/ram", identity: identity, size: size, isSealed: false)
    }

    private static func mapped(_ identity: FileIdentity, access: String = "rw-s", elsewhere: Bool = false) -> String {
        let device = identity.device
        let major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
        let minor = device & 0xFF | device >> 12 & 0xFFF_FF00
        let name = "\(String(major + (elsewhere ? 1 : 0), radix: 16)):\(String(minor, radix: 16))"
        return "10000000-20000000 \(access) 00000000 \(name) \(identity.inode) /dev/shm/ram\n"
    }

    private static func choose(
        _ candidates: [ForeignMemory.Candidate],
        _ maps: String,
        kind: ForeignMemory.Kind = .namedFile
    ) throws -> ForeignMemory.Candidate {
        try ForeignMemory.choose(kind, size: size, of: candidates, Mappings(text: Array(maps.utf8))).0
    }

    private static func obstacle(
        _ candidates: [ForeignMemory.Candidate],
        _ maps: String,
        kind: ForeignMemory.Kind = .namedFile
    ) -> String {
        do {
            return "none, but \(try choose(candidates, maps, kind: kind))"
        } catch {
            return "\(error)"
        }
    }

    @Test func aWholeFileThatIsMappedOnce() throws {
        let (wanted, other) = (try Self.identity("/bin/sh"), try Self.identity("/etc"))
        var sealed = Self.candidate(wanted)
        sealed.isSealed = true
        #expect(
            try Self.choose([Self.candidate(other), Self.candidate(wanted)], Self.mapped(wanted)).identity == wanted
        )
        #expect(try Self.choose([sealed], Self.mapped(wanted), kind: .memoryFile) == sealed)
    }

    @Test func nothingElse() throws {
        let (one, two) = (try Self.identity("/bin/sh"), try Self.identity("/etc"))
        let (first, both) = (Self.candidate(one), Self.mapped(one) + Self.mapped(two))
        #expect(Self.obstacle([first, Self.candidate(two)], both).contains("any of 2 files"))
        for access in ["r--s", "rw-p", "r--p"] {
            #expect(Self.obstacle([first], Self.mapped(one, access: access)).contains("any of 0 files"), "\(access)")
        }
        #expect(
            Self.obstacle([Self.candidate(one, size: Self.size + 4096)], Self.mapped(one)).contains("only a whole file")
        )
        #expect(Self.obstacle([first], Self.mapped(one), kind: .memoryFile).contains("'seal=off'"))
        #expect(Self.obstacle([first], Self.mapped(one, elsewhere: true)).contains("as with btrfs"))
        var odd = first
        odd.hugePageSize = 16 << 20
        #expect(Self.obstacle([odd], Self.mapped(one)).contains("pages of 16384 KiB"))
    }
}
