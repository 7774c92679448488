import Linux

/// Finds definitions, and makes one of a main file and its drop-ins.
///
/// As with systemd's units, the first `NAME.guest` in the order of directories counts; drop-ins `NAME.guest.d/*.conf`
/// of all directories are applied in the order of their names, and one hides others of its name in later directories.
/// An empty file or a link to /dev/null hides without taking its place.
public struct DefinitionLoader: Sendable {
    /// Of a single file, in bytes.
    public static let maximumFileSize = 1 << 20
    static let maximumDropIns = 64
    private static let suffix = ".guest"

    private let directories: [String]
    private let files: any DefinitionFiles

    /// - Parameter directories: Absolute paths, in order of precedence.
    public init(
        directories: [String] = Locations.current.definitions,
        files: any DefinitionFiles = SystemDefinitionFiles()
    ) {
        self.directories = directories
        self.files = files
    }

    /// Names of all guests that have a definition and are not masked, in order.
    ///
    /// Directories that cannot be listed count as empty.
    public func list() -> [String] {
        var names: Set<String> = []
        for directory in directories {
            for file in (try? files.names(in: directory)) ?? [] where file.hasSuffix(Self.suffix) {
                let name = String(file.dropLast(Self.suffix.count))
                if GuestName.problem(with: name) == nil { names.insert(name) }
            }
        }
        return names.filter { name in
            switch main(name) {
            case .found, .unusable: true
            case .masked, .none: false
            }
        }.sorted()
    }

    /// Loads and checks the definition of a guest.
    ///
    /// - Parameter copied: Paths of files that need not be there, since the guest runs with copies of them.
    /// - Throws: Everything that is wrong with it, warnings included.
    public func load(
        _ name: String,
        copied: Set<String> = []
    ) throws(DefinitionError) -> (GuestDefinition, warnings: [Diagnostic]) {
        if let problem = GuestName.problem(with: name) { throw failure("", problem) }
        let mainFile: File
        switch main(name) {
        case .found(let file): mainFile = file
        case .unusable(let path, let problem): throw failure(path, problem.reason)
        case .masked(let path):
            throw failure(
                path,
                "the guest '\(name)' is masked by this file, which is empty or a link to /dev/null; "
                    + "remove it to unmask the guest"
            )
        case .none: throw missing(name)
        }
        var problems = Problems()
        var sections: [Section] = []
        var indices: [SectionName: Int] = [:]
        let dropIns = dropIns(of: name)
        for file in [mainFile] + dropIns.files {
            for section in DefinitionParser.parse(file.bytes, path: file.path, into: &problems) {
                if let index = indices[section.name] {
                    sections[index].override(with: section)
                } else {
                    indices[section.name] = sections.count
                    sections.append(section)
                }
            }
        }
        var builder = DefinitionBuilder(
            name: name,
            sections: sections,
            files: files,
            copied: copied,
            problems: problems
        )
        let definition = builder.build()
        let diagnostics = builder.problems.sorted + dropIns.problems
        if builder.problems.hasErrors || !dropIns.problems.isEmpty { throw DefinitionError(diagnostics: diagnostics) }
        return (definition, diagnostics)
    }

    private struct File {
        var path: String
        var bytes: [UInt8]
    }

    private enum Main {
        case found(File)
        case masked(path: String)
        case unusable(path: String, FileProblem)
        case none
    }

    private func main(_ name: String) -> Main {
        for directory in directories {
            let path = "\(directory)/\(name)\(Self.suffix)"
            do {
                guard let bytes = try files.read(path, limit: Self.maximumFileSize) else { continue }
                return bytes.isEmpty ? .masked(path: path) : .found(File(path: path, bytes: bytes))
            } catch {
                return .unusable(path: path, error)
            }
        }
        return .none
    }

    private func dropIns(of name: String) -> (files: [File], problems: [Diagnostic]) {
        var problems: [Diagnostic] = []
        var paths: [String: String] = [:]
        for directory in directories {
            let directory = "\(directory)/\(name)\(Self.suffix).d"
            do {
                for file in try files.names(in: directory) where file.hasSuffix(".conf") && !file.hasPrefix(".") {
                    if paths[file] == nil { paths[file] = "\(directory)/\(file)" }
                }
            } catch {
                problems.append(Diagnostic(file: directory, message: error.reason))
            }
        }
        guard paths.count <= Self.maximumDropIns else {
            let message = "has \(paths.count) drop-ins, but at most \(Self.maximumDropIns) are read; remove some"
            return ([], problems + [Diagnostic(file: "\(name)\(Self.suffix).d", message: message)])
        }
        var found: [File] = []
        for (_, path) in paths.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            do {
                // A drop-in that was removed since the directory was listed is none.
                let bytes = try files.read(path, limit: Self.maximumFileSize) ?? []
                if !bytes.isEmpty { found.append(File(path: path, bytes: bytes)) }
            } catch {
                problems.append(Diagnostic(file: path, message: error.reason))
            }
        }
        return (found, problems)
    }

    private func missing(_ name: String) -> DefinitionError {
        let places = directories.map { "'\($0)'" }.joined(separator: ", ")
        var message = "there is no such definition in \(places)"
        if let meant = nearest(to: name, in: list()) { message += "; did you mean the guest '\(meant)'?" }
        return failure(name + Self.suffix, message)
    }

    private func failure(_ file: String, _ message: String) -> DefinitionError {
        DefinitionError(diagnostics: [Diagnostic(file: file, message: message)])
    }
}
