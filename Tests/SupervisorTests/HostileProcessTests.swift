import Foundation
import GuestDefinition
import Lifecycle
import Linux
import Testing

@testable import Supervisor

/// What is read of a VM process besides its monitor, where the VM process has seen to it.
struct HostileProcessTests {
    /// Opening a FIFO would wait for its writer.
    @Test(.timeLimit(.minutes(1)))
    func outputIsSomethingElse() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "perdure-\(UUID())").path()
        #expect(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        // For reading: nobody ever has it open for writing.
        let fifo = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
        let process = try GatedProcess(
            Program(
                path: "/bin/sleep",
                arguments: ["infinity"],
                environment: [],
                inherited: [],
                output: fifo
            )
        )
        let loop = EventLoop(label: "hostile-process-test")
        try await process.letThrough(path: "/bin/sleep", loop: loop, deadline: .seconds(20))
        #expect(try OwnCalls().look(at: process.handle).output == nil)
        try process.handle.kill()
        try await loop.readable(process.handle.descriptor, deadline: .seconds(20))
        _ = process.handle.reap()
    }

    @Test func outputIsShownOnOneLine() throws {
        let output = try ProcessOutput()
        let long = String(repeating: "e\u{301}", count: 1000)
        try output.file.write(Array("one\n\u{1B}]0;x\u{7}\ttwo\r\n\(long)".utf8), at: 0)
        let shown = "one; \u{FFFD}]0;x\u{FFFD} two ; " + String(repeating: "e\u{301}", count: 250) + "…"
        #expect(output.lastWords == shown)
    }

    /// A memory file has whichever time its owners gave it.
    @Test(arguments: [Int.max, Int.min, 1 << 40])
    func fileOfAnyTime(seconds: Int) throws {
        let file = try MemoryFile.create("ram.main", size: 4096, growth: .fixed)
        let times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 999_999_999)]
        #expect(futimens(file.raw, times) == 0)
        let identity = try file.identity()
        #expect(try Mappings(reading: .open("/proc/self/maps", O_RDONLY)).length(of: identity, shared: true) == 0)
    }

    @Test(arguments: [
        ("0-200000 rw-s 0 FILE /memfd:ram.main (deleted)", 0x200000),
        ("0-200000 rw-s 0 FILE /memfd:x\n200000-400000 rw-s 0 FILE /memfd:x", 0x400000),
        ("0-200000 rw-p 0 FILE /memfd:x\n0-200000 r--s 0 FILE /memfd:x", 0),
        ("200000-0 rw-s 0 FILE /memfd:x", 0),
        ("0-ffffffffffffffff rw-s 0 FILE x\n0-ffffffffffffffff rw-s 0 FILE x", UInt64.max),
        ("0-10000000000000000 rw-s 0 FILE x", 0), ("rw-s FILE", 0), ("0-200000 rw-s 0 0:0 1 x", 0), ("", 0),
    ])
    func mappings(text: String, length: UInt64) throws {
        let file = try MemoryFile.create("ram.main", size: 4096, growth: .fixed).identity()
        let name = String(file.device >> 8, radix: 16) + ":" + String(file.device & 0xFF, radix: 16) + " \(file.inode)"
        #expect(Mappings(text: Array(text.replacing("FILE", with: name).utf8)).length(of: file, shared: true) == length)
    }

    /// What only a fault or somebody else can have written, with a correct checksum.
    private static let implausible: [(what: String, change: @Sendable (inout Ledger) -> Void)] = [
        ("the VM processes' generations", { $0.generation = .max }),
        ("the VM processes' generations", { $0.current?.generation = -1 }),
        ("a VM process's pid", { $0.other?.pid = -1 }),
        ("the last pause", { $0.lastPause = .max }),
        ("the last pause", { $0.lastPause = -1 }),
        ("the guest's hardware", { $0.hardware.cpuCount = 0 }),
        ("the guest's hardware", { $0.hardware.ram = [] }),
        ("the guest's hardware", { $0.hardware.ram = Array(repeating: RAMBlock(id: "a", size: .max), count: 2) }),
        (
            "the guest's hardware",
            { $0.hardware.ram = Array(repeating: RAMBlock(id: "a", size: 1 << 21), count: 129) }
        ),
        (
            "the guest's hardware",
            { $0.hardware.disks = Array(repeating: Disk(id: "a", image: "/a", format: .raw), count: 16) }
        ),
    ]

    @Test(arguments: implausible.indices)
    func implausibleLedger(index: Int) throws {
        let record = VMProcessRecord(
            generation: 1,
            pid: 4711,
            startTime: 1,
            qemu: "/usr/bin/qemu-system-x86_64",
            version: QEMUVersion(major: 7, minor: 2),
            package: "",
            hasFileMigration: false
        )
        let hardware = GuestHardware(
            machine: "pc-q35-7.2",
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: "qemu64-v1",
            ram: [RAMBlock(id: "main", size: 1 << 30)],
            kernel: DirectKernel(image: "/boot/vmlinuz")
        )
        var ledger = Ledger(
            guest: "web",
            phase: .running,
            generation: 2,
            current: record,
            other: record,
            hardware: hardware,
            lastPause: 8_300
        )
        var file = try LedgerFile()
        try file.write(ledger)
        #expect(try LedgerFile.open(file.file).1 == ledger)
        Self.implausible[index].change(&ledger)
        try file.write(ledger)
        #expect(throws: LedgerFile.Problem.implausible(Self.implausible[index].what)) { try LedgerFile.open(file.file) }
    }

    @Test(arguments: [(0, "0.0 ms"), (49, "0.0 ms"), (50, "0.1 ms"), (8_349, "8.3 ms"), (8_350, "8.4 ms")])
    func milliseconds(microseconds: Int, text: String) {
        #expect(Milliseconds(microseconds: microseconds).description == text)
        #expect(!Milliseconds(microseconds: .max).description.isEmpty)
    }
}
