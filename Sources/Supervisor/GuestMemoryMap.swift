import GuestDefinition

/// A piece of guest-physical address space that is RAM.
///
/// Kept in the ledger: names of coding keys never change.
struct GuestMemoryRange: Codable, Equatable, Sendable {
    /// Guest-physical.
    var address: UInt64
    /// Bytes.
    var length: UInt64
    /// ID of the RAM block.
    var block: String
    /// Where in the block it begins.
    var offset: UInt64
}

/// Where QEMU has put the RAM blocks, as it says itself: below 4 GiB as much as the machine type leaves room for, and
/// the rest above. Devices and firmware hide parts of it from the guest.
enum GuestMemoryMap {
    /// The monitor command that `ranges` reads the reply of.
    static let command = "info mtree"

    struct Unreadable: Error, CustomStringConvertible {
        let description: String

        fileprivate init(_ reason: String) { description = "QEMU's map of the guest's memory can't be read: \(reason)" }
    }

    private struct Alias: Equatable {
        var address: UInt64
        var region: String
        var part: Range<UInt64>
    }

    /// - Parameter blocks: in the order in which they make up the guest's RAM.
    static func ranges(from reply: String, blocks: [RAMBlock]) throws(Unreadable) -> [GuestMemoryRange] {
        let lines = reply.split(whereSeparator: \.isNewline)
        var aliases: [Alias] = []
        for name in ["ram-below-4g", "ram-above-4g"] {
            // Each address space shows it once more.
            for alias in lines.compactMap({ alias(name, $0) }) where !aliases.contains(alias) { aliases.append(alias) }
        }
        guard let region = aliases.first?.region, aliases.allSatisfy({ $0.region == region }) else {
            throw Unreadable("it names no RAM below 4 GiB")
        }
        let total = blocks.reduce(0) { $0 + $1.size }
        var covered: UInt64 = 0
        for alias in aliases {
            guard alias.part.lowerBound == covered else { throw Unreadable("RAM is not in one piece in '\(region)'") }
            covered = alias.part.upperBound
        }
        guard covered == total else { throw Unreadable("it has \(covered) bytes of RAM, not \(total)") }

        var ranges: [GuestMemoryRange] = []
        var begin: UInt64 = 0
        let members = members(of: region, lines)
        for block in blocks {
            let place = begin..<(begin + block.size)
            guard members[block.backendName] == place else {
                throw Unreadable("the RAM block '\(block.id)' is not where it should be in '\(region)'")
            }
            for alias in aliases where alias.part.overlaps(place) {
                let common = alias.part.clamped(to: place)
                ranges.append(
                    GuestMemoryRange(
                        address: alias.address + (common.lowerBound - alias.part.lowerBound),
                        length: common.upperBound - common.lowerBound,
                        block: block.id,
                        offset: common.lowerBound - begin
                    )
                )
            }
            begin = place.upperBound
        }
        return ranges
    }

    /// `0000000100000000-000000017fffffff (prio 0, ram): alias ram-above-4g @pc.ram 0000000080000000-00000000ffffffff`
    private static func alias(_ name: String, _ line: Substring) -> Alias? {
        let words = line.split(separator: " ")
        guard let index = words.firstIndex(of: "alias"), index + 3 < words.count, words[index + 1] == name,
            words[index + 2].first == "@", let place = range(words[0]), let part = range(words[index + 3]),
            place.count == part.count
        else { return nil }
        return Alias(address: place.lowerBound, region: String(words[index + 2].dropFirst()), part: part)
    }

    /// What is listed below `memory-region: NAME`, by name.
    private static func members(of region: String, _ lines: [Substring]) -> [String: Range<UInt64>] {
        guard let start = lines.firstIndex(of: "memory-region: \(region)") else { return [:] }
        var members: [String: Range<UInt64>] = [:]
        for line in lines[(start + 1)...].prefix(while: { $0.first == " " }) {
            let words = line.split(separator: " ")
            guard let first = words.first, let place = range(first), let name = words.last else { continue }
            members[String(name)] = place
        }
        return members
    }

    /// `FIRST-LAST` in hexadecimal.
    private static func range(_ word: Substring) -> Range<UInt64>? {
        let ends = word.split(separator: "-").compactMap { UInt64($0, radix: 16) }
        guard ends.count == 2, ends[0] <= ends[1], ends[1] < UInt64(Int64.max) else { return nil }
        return ends[0]..<(ends[1] + 1)
    }
}
