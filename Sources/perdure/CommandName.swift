import ArgumentParser
import Glibc
import GuestDefinition

/// A command that there is none of is answered with the one that was meant.
enum CommandName {
    static func check(_ arguments: [String]) {
        guard let name = arguments.dropFirst().first(where: { $0 != "--user" }), !name.hasPrefix("-") else { return }
        let commands = Perdure.configuration.subcommands
        let known = commands.map { $0._commandName } + ["help"]
        if known.contains(name) { return }
        let shown = commands.filter { $0.configuration.shouldDisplay }.map { $0._commandName }
        let meant = NearestName.find(name, in: shown).map { "; did you mean '\($0)'?" }
        let line = Array("perdure: there is no command '\(name)'\(meant ?? "; 'perdure --help' lists them")\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(EX_USAGE)
    }
}
