import GuestDefinition

/// A definition's main file and its drop-ins, which begin after lines that are "%%".
enum DefinitionTarget {
    static func check(_ input: [UInt8]) throws -> Bool {
        let files = Files(input)
        let loader = DefinitionLoader(directories: ["/etc/perdure"], files: files)
        let name = String(decoding: input, as: UTF8.self)
        if let problem = GuestName.problem(with: name) { try requireShowable(problem) }
        do {
            let (definition, warnings) = try loader.load("demo")
            try check(warnings, files)
            try checkCommandLine(definition)
            return true
        } catch let error as DefinitionError {
            try require(!error.diagnostics.isEmpty, "a definition is refused without a reason")
            try check(error.diagnostics, files)
            try require(!error.description.isEmpty, "the reasons have no text")
            return false
        }
    }

    /// Diagnostics lie in the text that they are about.
    private static func check(_ diagnostics: [Diagnostic], _ files: Files) throws {
        try require(diagnostics.count <= 101, "there are \(diagnostics.count) diagnostics")
        for diagnostic in diagnostics {
            try requireShowable(diagnostic.message)
            try require(diagnostic.rendered().utf8.count < 4_000, "a rendered diagnostic is endless")
            guard diagnostic.line > 0 else { continue }
            guard let bytes = files.contents[diagnostic.file] else {
                throw Violation("'\(diagnostic)' is about a file that there is not")
            }
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            try require(diagnostic.line <= lines.count, "'\(diagnostic)' is behind the last line")
            // A column may be just behind the end, where something lacks.
            let length = lines[diagnostic.line - 1].count + 1
            try require((1...length).contains(diagnostic.column), "'\(diagnostic)' is not in its line")
        }
    }

    /// What is accepted can be run.
    private static func checkCommandLine(_ definition: GuestDefinition) throws {
        try require(definition.hardware.isPlausible, "a definition is accepted that a ledger could not have")
        let blocks = definition.hardware.ram.map(\.id)
        try require(Set(blocks).count == blocks.count, "two RAM blocks have the same ID")
        let arguments = QEMUCommandLine.arguments(
            guest: definition.name,
            generation: 1,
            hardware: definition.hardware,
            descriptors: VMProcessDescriptors(
                ram: Dictionary(uniqueKeysWithValues: blocks.map { ($0, 7) }),
                qmp: 8,
                agent: 10,
                tpm: 11,
                networks: Dictionary(
                    uniqueKeysWithValues: definition.hardware.networks.map { network in
                        (network.id, NetworkDescriptors(taps: Array(repeating: 9, count: network.queues)))
                    }
                )
            ),
            version: QEMUVersion(major: 7, minor: 2),
            incoming: true
        )
        try require(!arguments.contains { $0.utf8.contains(0) }, "an argument ends at a NUL")
    }

    private struct Files: DefinitionFiles {
        /// By path.
        let contents: [String: [UInt8]]

        init(_ input: [UInt8]) {
            var parts: [[ArraySlice<UInt8>]] = [[]]
            for line in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
                if line.elementsEqual("%%".utf8), parts.count < 4 {
                    parts.append([])
                } else {
                    parts[parts.count - 1].append(line)
                }
            }
            var contents: [String: [UInt8]] = [:]
            for (index, part) in parts.enumerated() {
                contents[index == 0 ? "/etc/perdure/demo.guest" : "/etc/perdure/demo.guest.d/\(index).conf"] =
                    Array(part.joined(separator: [UInt8(ascii: "\n")]))
            }
            self.contents = contents
        }

        func read(_ path: String, limit: Int) throws(FileProblem) -> [UInt8]? {
            guard let bytes = contents[path] else { return nil }
            if bytes.count > limit { throw FileProblem("is too long") }
            return bytes
        }

        func names(in directory: String) -> [String] {
            let prefix = directory + "/"
            return contents.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
                .filter { !$0.contains("/") }
        }

        /// Files below /boot and /srv, devices below /dev.
        func status(of path: String) -> FileStatus? {
            let kind: FileStatus.Kind
            switch path {
            case _ where path.hasPrefix("/boot/") || path.hasPrefix("/srv/"): kind = .regular
            case _ where path.hasPrefix("/dev/"): kind = .blockDevice
            case "/boot", "/srv", "/dev": kind = .directory
            default: return nil
            }
            let inode = path.utf8.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }
            return FileStatus(kind: kind, identity: .init(device: 1, inode: inode))
        }
    }
}
