import Linux

/// The guests that there are definitions of.
public enum DefinedGuests {
    /// Their names, sorted. Those that are masked or wrong are among them.
    public static func names(
        in directories: [String] = Locations.current.definitions,
        files: some DefinitionFiles = SystemDefinitionFiles()
    ) throws(FileProblem) -> [String] {
        var names: Set<String> = []
        for directory in directories {
            for file in try files.names(in: directory) where file.hasSuffix(".guest") {
                let name = String(file.dropLast(".guest".count))
                if GuestName.problem(with: name) == nil { names.insert(name) }
            }
        }
        return names.sorted()
    }
}
