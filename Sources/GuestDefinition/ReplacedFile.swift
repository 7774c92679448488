/// The file system as it will be once one file has another content.
public struct ReplacedFile<Base: DefinitionFiles>: DefinitionFiles {
    private let path: String
    private let bytes: [UInt8]
    private let base: Base

    /// - Parameters:
    ///   - path: absolute path of the file, which need not be there.
    ///   - bytes: what it will hold.
    public init(_ path: String, with bytes: [UInt8], in base: Base) {
        (self.path, self.bytes, self.base) = (path, bytes, base)
    }

    public func read(_ path: String, limit: Int) throws(FileProblem) -> [UInt8]? {
        guard path == self.path else { return try base.read(path, limit: limit) }
        guard bytes.count <= limit else {
            throw FileProblem("has more than \(limit) bytes, which is too much for a definition")
        }
        return bytes
    }

    public func names(in directory: String) throws(FileProblem) -> [String] {
        let names = try base.names(in: directory)
        guard path.hasPrefix("\(directory)/") else { return names }
        let name = String(path.dropFirst(directory.count + 1))
        return name.contains("/") || names.contains(name) ? names : names + [name]
    }

    public func status(of path: String) throws(FileProblem) -> FileStatus? { try base.status(of: path) }
}
