import ArgumentParser
import Glibc
import GuestDefinition

/// A command that there is none of is answered with the one that was meant.
enum CommandName {
    static func check(_ arguments: [String]) {
        var words = arguments.dropFirst().filter { $0 != "--user" }
        // 'perdure help NAME' has the same names.
        if words.first == "help" { words.removeFirst() }
        guard let name = words.first, !name.hasPrefix("-") else { return }
        let commands = Perdure.configuration.subcommands
        let shown = commands.filter { $0.configuration.shouldDisplay }.map { $0._commandName }
        guard let command = commands.first(where: { $0._commandName == name }) else {
            if name == "help" { return }
            refuse(name, shown)
        }
        // With nothing but a guest's name a default subcommand is meant.
        let parts = command.configuration.subcommands.map { $0._commandName }
        let rest = words.dropFirst().filter { !$0.hasPrefix("-") }
        guard !parts.isEmpty, let part = rest.first, rest.count > 1, !parts.contains(part) else { return }
        refuse("\(name) \(part)", parts.map { "\(name) \($0)" })
    }

    private static func refuse(_ name: String, _ known: [String]) -> Never {
        let meant = NearestName.find(name, in: known).map { "; did you mean '\($0)'?" }
        let line = Array("perdure: there is no command '\(name)'\(meant ?? "; 'perdure --help' lists them")\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(EX_USAGE)
    }
}
