/// A small ISO 9660 file system with Joliet names: some files in the root directory and nothing else.
///
/// Made here and in memory, since what goes into it may be secret: no tool has to be fed through files of its own.
struct SeedImage {
    static let sectorSize = 2048
    private static let (pathTables, roots, firstFile) = (19, 23, 25)

    /// At most 16 bytes of ASCII.
    var label: String
    /// Names of ASCII letters, digits and `-`, at most 24 of them. There is room for some 20 files.
    var files: [(name: String, contents: [UInt8])]

    var bytes: [UInt8] {
        let files = files.sorted { $0.name < $1.name }
        var starts: [Int] = []
        var end = SeedImage.firstFile
        for file in files {
            starts.append(end)
            end += SeedImage.sectors(file.contents.count)
        }
        let extents = zip(files, starts).map { (name: $0.name, start: $1, size: $0.contents.count) }
        var image = [UInt8](repeating: 0, count: 16 * SeedImage.sectorSize)
        image += descriptor(.primary, sectors: end) + descriptor(.joliet, sectors: end)
        image += SeedImage.padded([0xFF] + Array("CD001".utf8) + [1])
        for names in Names.allCases {
            image += SeedImage.pathTable(names, bigEndian: false) + SeedImage.pathTable(names, bigEndian: true)
        }
        for names in Names.allCases { image += SeedImage.root(names, extents) }
        for file in files { image += SeedImage.padded(file.contents) }
        return image
    }

    /// Every name is there twice: as old readers have it, and in UCS-2.
    private enum Names: Int, CaseIterable {
        case primary, joliet

        var root: Int { SeedImage.roots + rawValue }
        var firstPathTable: Int { SeedImage.pathTables + 2 * rawValue }

        func text(_ text: String) -> [UInt8] {
            self == .primary ? Array(text.utf8) : text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        }

        func identifier(of file: String) -> [UInt8] {
            self == .primary ? text("\(file.uppercased()).;1") : text(file)
        }

        func field(_ value: String, _ size: Int) -> [UInt8] {
            let pad = self == .primary ? [UInt8(ascii: " ")] : [0, UInt8(ascii: " ")]
            var bytes = text(value)
            while bytes.count + pad.count <= size { bytes += pad }
            return bytes + [UInt8](repeating: 0, count: size - bytes.count)
        }
    }

    private func descriptor(_ names: Names, sectors: Int) -> [UInt8] {
        var bytes: [UInt8] = [names == .primary ? 1 : 2] + Array("CD001".utf8) + [1, 0]
        bytes += names.field("", 32) + names.field(label, 32) + [UInt8](repeating: 0, count: 8)
        bytes += SeedImage.both32(sectors)
        // Joliet's escape sequence stands for UCS-2 with all of its characters.
        bytes +=
            (names == .primary ? [] : Array("%/E".utf8)) + [UInt8](repeating: 0, count: names == .primary ? 32 : 29)
        bytes += SeedImage.both16(1) + SeedImage.both16(1) + SeedImage.both16(SeedImage.sectorSize)
        bytes += SeedImage.both32(SeedImage.pathTableSize)
        bytes += SeedImage.little32(names.firstPathTable) + [0, 0, 0, 0]
        bytes += SeedImage.big32(names.firstPathTable + 1) + [0, 0, 0, 0]
        bytes += SeedImage.record([0], start: names.root, size: SeedImage.sectorSize, isDirectory: true)
        // Volume set, publisher, preparer and application, then three files that describe the volume.
        bytes += names.field("", 128) + names.field("", 128) + names.field("PERDURE", 128) + names.field("", 128)
        bytes += names.field("", 37) + names.field("", 37) + names.field("", 37)
        // Created, modified, expires, effective: not specified, so that equal files make an equal image.
        for _ in 0..<4 { bytes += Array(repeating: UInt8(ascii: "0"), count: 16) + [0] }
        return SeedImage.padded(bytes + [1, 0])
    }

    private static let pathTableSize = 10

    private static func pathTable(_ names: Names, bigEndian: Bool) -> [UInt8] {
        let start = bigEndian ? big32(names.root) : little32(names.root)
        return padded([1, 0] + start + (bigEndian ? [0, 1] : [1, 0]) + [0, 0])
    }

    private static func root(_ names: Names, _ extents: [(name: String, start: Int, size: Int)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for itself: [UInt8] in [[0], [1]] {
            bytes += record(itself, start: names.root, size: sectorSize, isDirectory: true)
        }
        for extent in extents {
            bytes += record(names.identifier(of: extent.name), start: extent.start, size: extent.size)
        }
        precondition(bytes.count <= sectorSize, "the root directory is one sector")
        return padded(bytes)
    }

    private static func record(_ identifier: [UInt8], start: Int, size: Int, isDirectory: Bool = false) -> [UInt8] {
        let length = 33 + identifier.count + (identifier.count.isMultiple(of: 2) ? 1 : 0)
        // Of 1 January 1980: what is in the image has no other date.
        let date: [UInt8] = [80, 1, 1, 0, 0, 0, 0]
        var bytes: [UInt8] = [UInt8(length), 0] + both32(start) + both32(size) + date
        bytes += [isDirectory ? 2 : 0, 0, 0] + both16(1) + [UInt8(identifier.count)] + identifier
        return bytes + [UInt8](repeating: 0, count: length - bytes.count)
    }

    private static func sectors(_ bytes: Int) -> Int { (bytes + sectorSize - 1) / sectorSize }

    private static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: sectors(bytes.count) * sectorSize - bytes.count)
    }

    private static func little32(_ value: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt32(value).littleEndian) { Array($0) }
    }
    private static func big32(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(value).bigEndian) { Array($0) } }
    private static func both32(_ value: Int) -> [UInt8] { little32(value) + big32(value) }
    private static func both16(_ value: Int) -> [UInt8] {
        [UInt8(value & 0xFF), UInt8(value >> 8), UInt8(value >> 8), UInt8(value & 0xFF)]
    }
}
