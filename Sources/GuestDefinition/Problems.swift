/// A place in one of the files of a definition.
struct Place: Equatable {
    /// Index into `Problems.sources`.
    var file: Int
    /// From 1.
    var line: Int
    /// From 1, in Unicode scalars.
    var column: Int
}

/// A file as it was read, so that a diagnostic can show the line it is about.
struct SourceFile {
    var path: String
    var lines: [[Unicode.Scalar]]
}

/// Collects everything that is wrong with a definition.
struct Problems {
    /// More than this is no help to anyone, and a file can be made to have a problem in every byte.
    static let limit = 100

    private(set) var sources: [SourceFile] = []
    private(set) var hasErrors = false
    private var found: [(place: Place, diagnostic: Diagnostic)] = []
    private var dropped = 0

    mutating func add(source: SourceFile) -> Int {
        sources.append(source)
        return sources.count - 1
    }

    mutating func add(_ message: String, at place: Place, _ severity: Diagnostic.Severity = .error) {
        let source = sources[place.file]
        let lines = source.lines
        let text = lines.indices.contains(place.line - 1) ? String(lines[place.line - 1]) : nil
        keep(
            Diagnostic(
                file: source.path,
                line: place.line,
                column: place.column,
                message: message,
                severity: severity,
                source: text
            ),
            at: place
        )
    }

    /// Adds a problem of a file as a whole.
    mutating func add(_ message: String, inFile file: Int) {
        keep(Diagnostic(file: sources[file].path, message: message), at: Place(file: file, line: 0, column: 0))
    }

    private mutating func keep(_ diagnostic: Diagnostic, at place: Place) {
        if diagnostic.severity == .error { hasErrors = true }
        if found.count < Self.limit {
            found.append((place, diagnostic))
        } else {
            dropped += 1
        }
    }

    /// In the order in which the files are read, then by line and column.
    var sorted: [Diagnostic] {
        let order = found.indices.sorted { left, right in
            let (a, b) = (found[left].place, found[right].place)
            return (a.file, a.line, a.column, left) < (b.file, b.line, b.column, right)
        }
        var diagnostics = order.map { found[$0].diagnostic }
        if dropped > 0 {
            diagnostics.append(
                Diagnostic(file: "", message: "there are \(dropped) more problems; mend these first")
            )
        }
        return diagnostics
    }
}

extension String {
    init(_ scalars: some Sequence<Unicode.Scalar>) {
        var view = UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}
