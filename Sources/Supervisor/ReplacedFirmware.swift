import Glibc
import Linux

/// Whether the firmware that a guest has a copy of is still what is installed. Contents count: a package that brings the
/// same firmware once more changes nothing.
struct ReplacedFirmware: Sendable {
    /// A copy, and the path that it was made from.
    typealias Copy = (path: String, file: Descriptor)

    private struct Look: Sendable {
        var identity: FileIdentity
        var isOther: Bool
    }

    /// Bytes that are compared at a time.
    private static let piece = 1 << 20

    /// By path.
    private var looks: [String: Look] = [:]

    /// Where another firmware is installed now, in order.
    var paths: [String] { looks.filter(\.value.isOther).keys.sorted() }

    /// Looks once more. Files that have not changed since the last time are not read again; those that are gone are no
    /// other firmware. Blocks.
    mutating func look(at copies: [Copy]) {
        let known = looks
        looks = [:]
        for copy in copies {
            guard let identity = try? FileIdentity.of(path: copy.path) else { continue }
            if let before = known[copy.path], before.identity == identity {
                looks[copy.path] = before
            } else if let isSame = try? ReplacedFirmware.isSame(copy) {
                looks[copy.path] = Look(identity: identity, isOther: !isSame)
            }
        }
    }

    private static func isSame(_ copy: Copy) throws(SystemCallError) -> Bool {
        let installed = try Descriptor.open(copy.path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
        let size = try copy.file.size()
        guard try installed.size() == size else { return false }
        var offset: UInt64 = 0
        while offset < size {
            let bytes = try copy.file.read(at: offset, count: piece)
            guard !bytes.isEmpty, try installed.read(at: offset, count: bytes.count) == bytes else { return false }
            offset += UInt64(bytes.count)
        }
        return true
    }
}
