import Glibc
import GuestDefinition
import Linux

/// One file of a guest's definition that is to be edited.
struct DefinitionEdit {
    let guest: String
    /// What is replaced.
    let path: String
    /// What the editor begins with.
    let proposal: [UInt8]
    /// As it was when it was read; nil where it was not there.
    private let before: (identity: FileIdentity, bytes: [UInt8])?

    var directory: String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }
    var fileName: String { String(path.split(separator: "/").last ?? "") }

    /// - Parameter full: the definition itself, and not a drop-in of it.
    init(_ guest: String, full: Bool) throws {
        if let problem = GuestName.problem(with: guest) { throw Exit.usage(problem) }
        self.guest = guest
        let own = Locations.current.definitions[0]
        let places: [String] = Locations.current.definitions.map { "\($0)/\(guest).guest" }
        let main = places.first { access($0, F_OK) == 0 }
        guard let main else { throw DefinitionEdit.missing(guest) }
        path = full ? "\(own)/\(guest).guest" : "\(own)/\(guest).guest.d/override.conf"
        before = try DefinitionEdit.contents(path)
        let current = try DefinitionEdit.contents(main)?.bytes ?? []
        proposal = before?.bytes ?? (full ? current : DefinitionEdit.template(guest, main, current))
    }

    static func missing(_ guest: String) -> CommandFailure {
        let meant = NearestName.find(guest, in: DefinitionLoader().list())
        return Exit.failure(
            "there is no guest '\(guest)'; "
                + (meant.map { "did you mean '\($0)'?" } ?? "'perdure create' and perdure.guest(5) make one")
        )
    }

    private static func contents(_ path: String) throws -> (identity: FileIdentity, bytes: [UInt8])? {
        do {
            guard let bytes = try SystemDefinitionFiles().read(path, limit: DefinitionLoader.maximumFileSize) else {
                return nil
            }
            return (try FileIdentity.of(path: path), bytes)
        } catch {
            throw Exit.failure("'\(path)' \((error as? FileProblem)?.reason ?? "can't be read: \(error)")")
        }
    }

    /// A drop-in that says nothing yet, with what it is to change for the eye.
    private static func template(_ guest: String, _ main: String, _ current: [UInt8]) -> [UInt8] {
        let quoted = String(decoding: current, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.isEmpty ? "#" : "# \($0)" }.joined(separator: "\n")
        return Array(
            """
            # What is set here counts instead of the same keys in '\(main)';
            # perdure.guest(5) has them all. A file in which nothing is set is not written.


            # '\(main)' says:
            #
            \(quoted)

            """.utf8
        )
    }

    /// Nothing is to be written: the text is what there was, or a drop-in without a word.
    func saysNothingNew(_ text: [UInt8]) -> Bool {
        if text == proposal { return true }
        guard before == nil else { return false }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").allSatisfy { line in
            line.drop { $0 == " " || $0 == "\t" }.first.map { $0 == "#" || $0 == ";" } ?? true
        }
    }

    /// Throws all that would be wrong with the definition. Returns warnings.
    func check(_ text: [UInt8]) throws(DefinitionError) -> [Diagnostic] {
        let files = ReplacedFile(path, with: text, in: SystemDefinitionFiles())
        return try DefinitionLoader(files: files).load(guest).warnings
    }

    /// Whoever reads the file sees the old or the new one, nothing between.
    func replace(with text: [UInt8]) throws {
        let temporary = "\(directory)/.#\(fileName).\(getpid()).new"
        do {
            try Directory.make(directory, mode: 0o755)
            let mode = before == nil ? 0o644 : try FileAccess(of: path).mode
            let file = try Descriptor.create(temporary, mode: mode)
            defer { unlink(temporary) }
            try file.write(text, at: 0)
            try file.sync()
            if try DefinitionEdit.contents(path)?.bytes != before?.bytes {
                throw Exit.refused("'\(path)' was changed by another meanwhile, and is left as that other wrote it")
            }
            guard rename(temporary, path) == 0 else { throw SystemCallError("rename", on: path) }
            try Descriptor.open(directory, O_RDONLY).sync()
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw Exit.failure("'\(path)' can't be written: \(error)")
        }
    }
}
