import Glibc
import GuestDefinition
import Linux

/// The file that is the RAM of a guest which others have started.
///
/// All that is looked at in their process for it is looked at here: what it has open, and what it maps.
struct ForeignMemory {
    /// As QEMU calls it.
    enum Kind: String, Sendable {
        case memoryFile = "memory-backend-memfd"
        case namedFile = "memory-backend-file"
    }

    /// What can be seen of a file that a process has open.
    struct Candidate: Equatable {
        /// What the kernel calls it.
        var name: String
        var identity: FileIdentity
        /// Bytes.
        var size: UInt64
        var isSealed: Bool
        /// Bytes of each; nil where they are not huge.
        var hugePageSize: UInt64?
    }

    /// What follows 'its RAM …' in a sentence.
    struct Obstacle: Error, Equatable, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    let file: Descriptor
    private let candidate: Candidate
    private let hugePages: HugePageSize?

    /// The block of RAM that it is from now on.
    func block(name: String) -> RAMBlock {
        var block = RAMBlock(id: "main", size: candidate.size, hugePages: hugePages, backend: name)
        if !candidate.isSealed { block.file = candidate.name }
        return block
    }

    // MARK: The process

    /// - Parameter size: of the RAM, in bytes.
    static func find(
        _ kind: Kind,
        name: String,
        size: UInt64,
        of process: ProcessHandle
    ) throws -> ForeignMemory {
        let mappings = try Mappings(reading: Mappings.file(of: process))
        var found: [FileKey: (candidate: Candidate, file: Descriptor)] = [:]
        for (number, link) in try process.openFiles() {
            let path = "/proc/\(process.pid)/fd/\(number)"
            guard let identity = try? FileIdentity.of(path: path), found[FileKey(identity)] == nil,
                mappings.mentions(identity)
            else { continue }
            // What the number stood for a moment ago it may not stand for any more.
            let file = try process.fetch(number)
            guard try file.identity().isSameFile(as: identity) else { continue }
            let candidate = Candidate(
                name: link,
                identity: identity,
                size: try file.size(),
                isSealed: MemoryFile.isSealed(file),
                hugePageSize: try MemoryFile.hugePageSize(of: file)
            )
            found[FileKey(identity)] = (candidate, file)
        }
        let (candidate, hugePages) = try choose(kind, size: size, of: found.values.map(\.candidate), mappings)
        guard let file = found[FileKey(candidate.identity)]?.file else { throw Obstacle("is not there any more") }
        return ForeignMemory(file: file, candidate: candidate, hugePages: hugePages)
    }

    /// The one file that is all of the RAM, and nothing besides.
    static func choose(
        _ kind: Kind,
        size: UInt64,
        of candidates: [Candidate],
        _ mappings: Mappings
    ) throws(Obstacle) -> (Candidate, HugePageSize?) {
        let fitting = candidates.filter { mappings.length(of: $0.identity, shared: true) == size }
        guard let found = fitting.first, fitting.count == 1 else {
            if let other = candidates.first(where: { mappings.lengthElsewhere(of: $0.identity) == size }) {
                throw Obstacle(
                    "is the file '\(ForeignText.printable(other.name))', whose file system does not say of a mapping which "
                        + "file it is, as with btrfs"
                )
            }
            throw Obstacle(
                "of \(size >> 20) MiB could be any of \(fitting.count) files that it maps, shared and to write to"
            )
        }
        guard found.size == size else {
            throw Obstacle(
                "is \(size >> 20) MiB of the file '\(ForeignText.printable(found.name))', which has \(found.size) bytes; only a "
                    + "whole file is taken over"
            )
        }
        guard kind == .namedFile || found.isSealed else {
            throw Obstacle("can be changed in its size by whoever has it open ('seal=off')")
        }
        guard let pageSize = found.hugePageSize else { return (found, nil) }
        guard let pages = HugePageSize.allCases.first(where: { $0.bytes == pageSize }) else {
            throw Obstacle("is of pages of \(pageSize >> 10) KiB, and a definition can only have 2M and 1G")
        }
        return (found, pages)
    }

    /// One file, whenever it was written to.
    struct FileKey: Hashable {
        var device: UInt64
        var inode: UInt64

        init(_ identity: FileIdentity) { (device, inode) = (identity.device, identity.inode) }
    }
}

extension AdoptionLink.Offer {
    /// Lets the user that the guest's VM processes run as open the memory, where not everybody may. Whoever has it open
    /// keeps it.
    ///
    /// - Returns: what it was; nil where nothing had to be changed.
    public func openMemory(to guest: String) throws -> FileAccess? {
        let before = try ram.access()
        if before.mode & 0o006 == 0o006 { return nil }
        let user = try GuestUsers().user(of: guest)
        try ram.setAccess(FileAccess(owner: user, group: before.group, mode: 0o600))
        return before
    }
}
