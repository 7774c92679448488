import GuestDefinition
import Testing

@testable import Supervisor

struct GuestMemoryMapTests {
    /// What QEMU 7.2 says, without what is not read.
    private static let oneBlock = """
        address-space: memory
          0000000000000000-ffffffffffffffff (prio 0, i/o): system
            0000000000000000-0000000007ffffff (prio 0, ram): alias ram-below-4g @ram.main 0000000000000000-0000000007ffffff
            0000000000000000-ffffffffffffffff (prio -1, i/o): pci

        address-space: cpu-memory-0
          0000000000000000-ffffffffffffffff (prio 0, i/o): system
            0000000000000000-0000000007ffffff (prio 0, ram): alias ram-below-4g @ram.main 0000000000000000-0000000007ffffff

        memory-region: ram.main
          0000000000000000-0000000007ffffff (prio 0, ram): ram.main

        """

    private static let twoBlocks = """
        address-space: memory
          0000000000000000-ffffffffffffffff (prio 0, i/o): system
            0000000000000000-000000007fffffff (prio 0, i/o): alias ram-below-4g @pc.ram 0000000000000000-000000007fffffff
            00000000000a0000-00000000000bffff (prio 1, i/o): alias smram-region @pci 00000000000a0000-00000000000bffff
            0000000100000000-00000001b87fffff (prio 0, i/o): alias ram-above-4g @pc.ram 0000000080000000-00000001387fffff

        memory-region: pc.ram
          0000000000000000-00000001387fffff (prio 0, i/o): pc.ram
            0000000000000000-000000007cffffff (prio 0, ram): ram.main
            000000007d000000-00000001387fffff (prio 0, ram): ram.more

        """

    private static let two = [RAMBlock(id: "main", size: 2000 << 20), RAMBlock(id: "more", size: 3000 << 20)]

    @Test func oneBlock() throws {
        let blocks = [RAMBlock(id: "main", size: 128 << 20)]
        let ranges = try GuestMemoryMap.ranges(from: Self.oneBlock, blocks: blocks)
        #expect(ranges == [GuestMemoryRange(address: 0, length: 128 << 20, block: "main", offset: 0)])
    }

    /// The hole below 4 GiB is in the middle of a block. QEMU 11.1 has another word for regions of regions.
    @Test(arguments: [Self.twoBlocks, Self.twoBlocks.replacing("i/o", with: "container")])
    func severalBlocks(text: String) throws {
        let ranges = try GuestMemoryMap.ranges(from: text, blocks: Self.two)
        #expect(
            ranges == [
                GuestMemoryRange(address: 0, length: 2000 << 20, block: "main", offset: 0),
                GuestMemoryRange(address: 2000 << 20, length: 48 << 20, block: "more", offset: 0),
                GuestMemoryRange(address: 4 << 30, length: 2952 << 20, block: "more", offset: 48 << 20),
            ]
        )
    }

    @Test func whatIsNotCertainIsNotUsed() {
        let texts = [
            "", "unknown command: 'info mtree'", Self.oneBlock, Self.twoBlocks.replacing("ram.more", with: "ram.less"),
            Self.twoBlocks.replacing("ram-above-4g", with: "ram-elsewhere"),
            Self.twoBlocks.replacing("@pc.ram 0000000080000000", with: "@pc.ram 0000000080001000"),
            Self.twoBlocks.replacing("000000007d000000-", with: "000000007e000000-"),
            Self.twoBlocks.replacing("ffff", with: "ffffffffffffffffffff"),
        ]
        for text in texts {
            #expect(throws: GuestMemoryMap.Unreadable.self) {
                try GuestMemoryMap.ranges(from: text, blocks: Self.two)
            }
        }
        #expect(throws: GuestMemoryMap.Unreadable.self) {
            try GuestMemoryMap.ranges(from: Self.twoBlocks, blocks: Self.two.reversed())
        }
    }
}
