import ArgumentParser
import Supervisor

@main
struct Perdure: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perdure",
        abstract: "Keeps QEMU guests running while everything beneath them is replaced.",
        discussion: "Guests are defined in /etc/perdure/NAME.guest and run by 'systemctl start perdure@NAME'.",
        version: PerdureVersion.current,
        subcommands: [
            Check.self, Status.self, Upgrade.self, Save.self, Exec.self, Load.self, Console.self, Supervise.self,
            StopPost.self,
        ]
    )
}

struct GuestArgument: ParsableArguments {
    @Argument(help: "The guest's name, as in NAME.guest.")
    var name: String
}

struct QEMUOption: ParsableArguments {
    @Option(help: "The QEMU program to use this time, instead of QEMU= in the definition.")
    var qemu: String?
}
