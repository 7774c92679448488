import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Varlink

struct Edit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Edit a guest's definition, which is replaced once nothing is wrong with it.",
        discussion: """
            It opens a drop-in, '/etc/perdure/NAME.guest.d/override.conf', in the editor that SUDO_EDITOR, VISUAL or \
            EDITOR names, and afterwards shows what the next handover of the running guest applies and what waits for a \
            power cycle. Without a terminal to ask on, a text with mistakes in it is discarded.
            """
    )

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Edit the definition itself; one outside of /etc/perdure is copied there.")
    var full = false
    @OptionGroup var output: OutputOption

    func run() throws {
        let target = try DefinitionEdit(guest.name, full: full)
        guard let text = try edit(target) else {
            return try output.show(
                Edited(guest: guest.name, file: target.path, changed: false, differences: nil),
                "The definition of guest '\(guest.name)' is as it was."
            )
        }
        try target.replace(with: text)
        // Who edits a definition may as well not be allowed to ask the supervisor: the definition has been changed all the same.
        let differences = try? GuestClient(guest.name).call(
            .getDifferences,
            GuestInterface.NoParameters(),
            as: GuestInterface.DifferencesReply.self
        ).0
        let what =
            differences?.text(of: guest.name)
            ?? "The guest '\(guest.name)' is not running; the definition counts when it is started."
        try output.show(
            Edited(guest: guest.name, file: target.path, changed: true, differences: differences),
            "Wrote '\(target.path)'.\n\(what)"
        )
    }

    private struct Edited: Encodable {
        let guest: String
        let file: String
        let changed: Bool
        /// Nil where the guest is not running.
        let differences: GuestInterface.DifferencesReply?
    }

    /// What is to be written; nil where nothing is.
    private func edit(_ target: DefinitionEdit) throws -> [UInt8]? {
        let copy = try EditedCopy(of: target)
        defer { copy.remove() }
        while true {
            try Editor.run(on: copy.path)
            let text = try copy.text()
            if target.saysNothingNew(text) { return nil }
            do {
                for warning in try target.check(text) { Diagnostics.tell("\(warning)") }
                return text
            } catch {
                Diagnostics.tell("\(error)")
                guard RawTerminal.isTerminal(STDIN_FILENO), Diagnostics.asksToEditAgain() else {
                    throw Exit.definition(
                        "the definition of guest '\(guest.name)' is left as it was, since it would be wrong"
                    )
                }
            }
        }
    }
}

/// The file that the editor has open, beside the one that it is to replace.
private struct EditedCopy {
    let path: String

    init(of target: DefinitionEdit) throws {
        do {
            try Directory.make(target.directory, mode: 0o755)
            path = "\(target.directory)/.#\(target.fileName).\(getpid())"
            let file = try Descriptor.create(path, mode: 0o600)
            try file.write(target.proposal, at: 0)
        } catch {
            throw Exit.failure("'\(target.path)' can't be edited: \(error)")
        }
    }

    /// What the editor has left: it may have put another file in the place of the one that it was given.
    func text() throws -> [UInt8] {
        do {
            let limit = DefinitionLoader.maximumFileSize
            return try SystemDefinitionFiles().read(path, limit: limit) ?? []
        } catch {
            throw Exit.failure("the text that was edited \(error.reason)")
        }
    }

    func remove() {
        unlink(path)
        // Made for the copy, where nothing else has come into it.
        rmdir(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    }
}

private enum Diagnostics {
    static func tell(_ text: String) {
        let bytes = Array("\(text)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }

    static func asksToEditAgain() -> Bool {
        while true {
            let question = Array("Edit again, or discard it? [e/d] ".utf8)
            _ = write(STDERR_FILENO, question, question.count)
            switch readLine()?.lowercased() {
            case "e", "": return true
            case "d", nil: return false
            default: continue
            }
        }
    }
}

private enum Editor {
    /// Runs the person's editor to its end.
    static func run(on path: String) throws {
        let variables = ["SUDO_EDITOR", "VISUAL", "EDITOR"]
        let named = variables.compactMap { name -> String? in getenv(name).map { String(cString: $0) } }
        let candidates: [String] = named.first { !$0.isEmpty }.map { [$0] } ?? ["editor", "nano", "vim", "vi"]
        for candidate in candidates {
            // As in a shell, but for quotes: 'code --wait'.
            let words = candidate.split(separator: " ").map(String.init)
            guard let status = try run(words + [path]) else { continue }
            guard status == 0 else {
                throw Exit.failure("the editor '\(candidate)' ended with status \(status); nothing is changed")
            }
            return
        }
        throw Exit.failure("the editor '\(candidates[0])' can't be run; set EDITOR to one that is installed")
    }

    /// Its exit status; nil where there is no such program.
    private static func run(_ words: [String]) throws -> Int32? {
        // Ctrl-C is the editor's.
        let interrupt = signal(SIGINT, SIG_IGN)
        defer { signal(SIGINT, interrupt) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGINT)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, words[0], nil, &attributes, &arguments, environ)
        if code == ENOENT { return nil }
        guard code == 0 else {
            throw Exit.failure("the editor '\(words[0])' can't be run: \(String(cString: strerror(code)))")
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    }
}
