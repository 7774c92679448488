import Glibc
import GuestDefinition
import Linux
import Supervisor

/// What there is of a guest that is off, on this host's disks.
struct GuestRemains {
    /// What became of it.
    struct Deletion: Encodable {
        struct Kept: Encodable {
            let path: String
            let reason: String
        }

        let guest: String
        var deleted: [String] = []
        var kept: [Kept] = []
        /// Sentences.
        var failures: [String] = []

        var text: String {
            (deleted.map { "Deleted '\($0)'." } + kept.map { "Kept '\($0.path)': \($0.reason)." }).joined(
                separator: "\n"
            )
        }
    }

    private let guest: String
    /// The definition and its drop-ins.
    private var definition: [String] = []
    private var directories: [String] = []
    /// Nil where the definition has mistakes in it.
    private let hardware: GuestHardware?
    /// Files that the definitions of other guests name.
    private let others: [FileStatus.Identity: String]
    /// Where `create` and the supervisor put what they make.
    private var state: String { "\(Locations.current.state)/\(guest)" }

    /// - Parameter disks: they have to be known.
    init(of guest: String, withDisks disks: Bool) throws {
        self.guest = guest
        for directory in Locations.current.definitions {
            let main = "\(directory)/\(guest).guest"
            if GuestRemains.isThere(main) { definition.append(main) }
            let names = ((try? Directory.names(in: "\(main).d")) ?? []).filter { $0.hasSuffix(".conf") }.sorted()
            definition += names.map { "\(main).d/\($0)" }
            if GuestRemains.isThere("\(main).d") { directories.append("\(main).d") }
        }
        guard definition.contains(where: { $0.hasSuffix("/\(guest).guest") }) else {
            throw DefinitionEdit.missing(guest)
        }
        let vendor = Locations.system.definitions.last ?? ""
        if !Locations.current.isUser, let foreign = definition.first(where: { $0.hasPrefix("\(vendor)/") }) {
            throw Exit.refused(
                "guest '\(guest)' is not deleted: '\(foreign)' belongs to a package; remove that, or mask the guest by a link "
                    + "'\(Locations.current.definitions[0])/\(guest).guest' to /dev/null"
            )
        }
        do {
            hardware = try DefinitionLoader().load(guest).0.hardware
        } catch {
            hardware = nil
            if disks {
                throw Exit.definition(
                    "guest '\(guest)' is not deleted: its definition has mistakes in it, and its disks are not known:\n"
                        + "\(error)"
                )
            }
        }
        others = try GuestRemains.filesOfOthers(but: guest, mustBeKnown: disks)
    }

    /// The definition first: from then on nobody starts the guest.
    func delete(withDisks: Bool) throws -> Deletion {
        var deletion = Deletion(guest: guest)
        for path in definition { remove(path, &deletion) }
        guard deletion.failures.isEmpty else { return deletion }
        for path in directories where rmdir(path) == 0 { deletion.deleted.append(path) }
        remove("\(state)/authorized_keys", &deletion)
        remove("\(state)/\(guest).partial", &deletion)
        for (path, reason) in valuables() {
            let other = GuestRemains.identity(of: path).flatMap { others[$0] }
            let isKept = reason ?? other.map { "guest '\($0)' has it, too" }
            if withDisks, isKept == nil {
                remove(path, &deletion)
            } else {
                let why = isKept ?? "'--disks' would have deleted it"
                deletion.kept.append(Deletion.Kept(path: path, reason: why))
            }
        }
        rmdir("\(state)/tpm")
        noteWhatIsLeft(&deletion)
        // Users' guests run as their users, and the system's guest of that name is another one.
        if Locations.current.isUser { return deletion }
        do {
            if let link = try GuestUsers().release(guest) { deletion.deleted.append(link) }
        } catch {
            deletion.failures.append("the number of the user that guest '\(guest)' ran as is still taken: \(error)")
        }
        return deletion
    }

    /// What holds what the guest has written, with why it is kept in any case.
    private func valuables() -> [(path: String, reason: String?)] {
        var found: [(path: String, reason: String?)] = []
        for disk in hardware?.disks ?? [] where GuestRemains.isThere(disk.image) {
            let reason =
                disk.isBlockDevice
                ? "it is a block device" : disk.readOnly ? "the guest has only read it" : nil
            found.append((disk.image, reason))
        }
        if let variables = hardware?.firmware?.variables?.path, GuestRemains.isThere(variables) {
            found.append((variables, nil))
        }
        let tpm = "\(state)/tpm"
        let names = ((try? Directory.names(in: tpm)) ?? []).filter { $0 != "." && $0 != ".." }.sorted()
        found += names.map { ("\(tpm)/\($0)", nil) }
        let dumps = DumpDirectory(path: state, guest: guest)
        found += ((try? dumps.dumps()) ?? []).map { ("\(state)/\($0)", nil) }
        return found
    }

    private func noteWhatIsLeft(_ deletion: inout Deletion) {
        guard GuestRemains.isThere(state), rmdir(state) != 0 else { return }
        let kept = Set(deletion.kept.map(\.path))
        let names = ((try? Directory.names(in: state)) ?? []).filter { $0 != "." && $0 != ".." }.sorted()
        for path in names.map({ "\(state)/\($0)" }) where !kept.contains(path) {
            deletion.kept.append(Deletion.Kept(path: path, reason: "nothing says that it is the guest's"))
        }
    }

    private func remove(_ path: String, _ deletion: inout Deletion) {
        if unlink(path) == 0 {
            deletion.deleted.append(path)
        } else if errno != ENOENT {
            deletion.failures.append("'\(path)' can't be deleted: \(String(cString: strerror(errno)))")
        }
    }

    private static func filesOfOthers(
        but guest: String,
        mustBeKnown: Bool
    ) throws -> [FileStatus.Identity: String] {
        var found: [FileStatus.Identity: String] = [:]
        for other in DefinitionLoader().list() where other != guest {
            do {
                let hardware = try DefinitionLoader().load(other).0.hardware
                let paths = hardware.disks.map(\.image) + [hardware.firmware?.variables?.path].compactMap { $0 }
                for file in paths.compactMap(identity) { found[file] = other }
            } catch  where mustBeKnown {
                throw Exit.definition(
                    "guest '\(guest)' is not deleted: whether guest '\(other)' has its disks, too, is not known, since the "
                        + "definition of that one has mistakes in it; 'perdure check \(other)' shows them"
                )
            } catch {
                continue
            }
        }
        return found
    }

    private static func identity(of path: String) -> FileStatus.Identity? {
        (try? SystemDefinitionFiles().status(of: path))?.identity
    }

    private static func isThere(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }
}
