import Foundation
import Linux
import Systemd
import Testing

@testable import Supervisor

struct InventoryTests {
    @Test func ledgerComesFirst() throws {
        var inventory = Inventory()
        #expect(inventory.isEmpty)
        for name in [Inventory.ram("main"), "console.g2", Inventory.ledger, Inventory.state, "a"] {
            inventory[name] = try MemoryFile.create(name, growth: .allowed)
        }
        #expect(inventory.all.map(\.name) == ["ledger", "a", "console.g2", "ram.main", "vmstate"])
        #expect(inventory.names == ["a", "console.g2", "ledger", "ram.main", "vmstate"])
        inventory[Inventory.ledger] = nil
        #expect(inventory.all.map(\.name) == ["a", "console.g2", "ram.main", "vmstate"])
        #expect(inventory.count == 4)
    }

    /// systemd takes names without ':' and control characters, of at most 255 bytes.
    @Test func names() {
        let names = [
            Inventory.ledger, Inventory.state, Inventory.consoleLog, Inventory.consoleInput, Inventory.ram("dimm1"),
            Inventory.qmp(7),
        ]
        #expect(Set(names).count == names.count)
        for name in names { #expect(name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "." }) }
    }
}

struct HostInformationTests {
    @Test func sharedMappings() throws {
        let page = Int(getpagesize())
        let file = try MemoryFile.create("mapped", size: UInt64(4 * page), growth: .fixed)
        let identity = try file.identity()
        func length(shared: Bool = true) throws -> UInt64 {
            try Mappings(reading: .open("/proc/self/maps", O_RDONLY)).length(of: identity, shared: shared)
        }
        #expect(try length() == 0)
        func map(_ pages: Int, _ protection: Int32, _ flags: Int32) throws -> UnsafeMutableRawPointer {
            let mapped = mmap(nil, pages * page, protection, flags, file.raw, 0)
            try #require(mapped != MAP_FAILED)
            return try #require(mapped)
        }
        let shared = try map(3, PROT_READ | PROT_WRITE, MAP_SHARED)
        #expect(try length() == UInt64(3 * page))
        // Neither is what a VM process's RAM must be.
        let others = [try map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE), try map(2, PROT_READ, MAP_SHARED)]
        #expect(try length() == UInt64(3 * page))
        #expect(try length(shared: false) == UInt64(2 * page))
        munmap(shared, 3 * page)
        for other in others { munmap(other, 2 * page) }
        #expect(try length() == 0)
    }

    /// What somebody else says shows a process is believed only where it does.
    @Test func whoseMappingsTheseAre() throws {
        let own = try ProcessHandle(pid: getpid())
        #expect(try Mappings.isFile(.open("/proc/self/maps", O_RDONLY), of: own))
        #expect(try Mappings.isFile(Mappings.file(of: own), of: own))
        let others = ["/proc/\(getppid())/maps", "/proc/self/smaps", "/proc/thread-self/maps"]
        for path in others { #expect(try !Mappings.isFile(.open(path, O_RDONLY), of: own), "\(path)") }
        let directory = FileManager.default.temporaryDirectory.appending(path: "proc-\(UUID().uuidString)/\(getpid())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let forged = directory.appending(path: "maps").path
        #expect(FileManager.default.createFile(atPath: forged, contents: Data()))
        #expect(try !Mappings.isFile(.open(forged, O_RDONLY), of: own))
        #expect(throws: SystemCallError.self) { try Mappings.file(of: ProcessHandle(pid: -1)) }
    }

    @Test func availableMemory() throws {
        let available = try MemoryInformation.available()
        #expect(available > 1 << 20)
        #expect(available <= ProcessInfo.processInfo.physicalMemory)
    }

    @Test(arguments: [
        (0, "0.0 ms"), (49, "0.0 ms"), (50, "0.1 ms"), (8_300, "8.3 ms"), (8_349, "8.3 ms"), (8_350, "8.4 ms"),
        (9_960, "10.0 ms"), (1_234_567, "1234.6 ms"),
    ])
    func milliseconds(microseconds: Int, text: String) {
        #expect(Milliseconds(microseconds: microseconds).description == text)
    }
}

struct MessageIDTests {
    @Test func identifiers() {
        let values = MessageID.allCases.map(\.rawValue)
        #expect(Set(values).count == values.count)
        for value in values {
            #expect(value.utf8.count == 32)
            #expect(value.allSatisfy { "0123456789abcdef".contains($0) })
        }
    }

    /// `journalctl -x` has something to say about each.
    @Test func everyIdentifierIsInTheCatalog() throws {
        let catalog = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "units/perdure.catalog")
        let lines = try String(contentsOf: catalog, encoding: .utf8).split(separator: "\n")
        let identifiers = lines.filter { $0.hasPrefix("-- ") }.map { String($0.dropFirst(3)) }
        #expect(identifiers.sorted() == MessageID.allCases.map(\.rawValue).sorted())
    }
}
