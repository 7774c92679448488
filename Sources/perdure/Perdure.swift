import ArgumentParser
import Dispatch
import Glibc
import Linux
import Supervisor

@main
enum Main {
    static func main() {
        // A supervisor stays for as long as its guest: it does without the command line's machinery in its memory, and
        // without the runtime's threads, which wake every second.
        let arguments = CommandLine.arguments
        if arguments.count == 3, arguments[1] == "supervise", !arguments[2].hasPrefix("-") {
            Supervision.run(guest: arguments[2])
        } else if arguments.count == 4, arguments[1...2] == ["supervise", "--user"], !arguments[3].hasPrefix("-") {
            Locations.useUsers()
            Supervision.run(guest: arguments[3])
        } else if arguments.count == 2, arguments[1] == "helper" {
            // It is waited for.
            Helping.run()
        } else {
            runCommand()
        }
    }

    private static func runCommand() {
        CommandName.check(CommandLine.arguments)
        do {
            var command = try Perdure.parseAsRoot()
            // On the main thread, which signals are blocked for, and which no other one is there beside.
            guard command is any AsyncParsableCommand else { return try command.run() }
        } catch {
            end(error)
        }
        Task { @MainActor in
            do {
                // A task can't be sent a command.
                var command = try Perdure.parseAsRoot() as? any AsyncParsableCommand
                try await command?.run()
            } catch {
                end(error)
            }
            exit(EXIT_SUCCESS)
        }
        dispatchMain()
    }

    private static func end(_ error: any Error) -> Never {
        if let failure = error as? CommandFailure { failure.exit() }
        Perdure.exit(withError: error)
    }
}

struct Perdure: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perdure",
        abstract: "Keeps QEMU guests running while everything beneath them is replaced.",
        discussion:
            "Guests are defined in /etc/perdure/NAME.guest and run by 'systemctl start perdure@NAME'; with '--user' in "
            + "~/.config/perdure/NAME.guest, by 'systemctl --user start perdure@NAME'.",
        version: PerdureVersion.current,
        subcommands: [
            Create.self, Adopt.self, Edit.self, Delete.self, List.self, Check.self, Diff.self, Status.self,
            Upgrade.self, Memory.self, Dump.self, Console.self,
            Pause.self,
            Resume.self, Hold.self, Save.self, Exec.self, Load.self, Reset.self, PowerDown.self, Kill.self,
            History.self,
            Watch.self, Metrics.self, Doctor.self, Supervise.self, StopPost.self, Machine.self, AwaitPackages.self,
            HelperCommand.self,
        ]
    )

    @OptionGroup var manager: ManagerOption
}

/// Whose guests are meant.
struct ManagerOption: ParsableArguments {
    @Flag(help: "Your own guests, which your user manager runs, instead of the system's.")
    var user = false

    func validate() { if user { Locations.useUsers() } }
}

/// What every command takes that talks to supervisors.
struct CommonOptions: ParsableArguments {
    @Flag(help: "Don't ask for a password where polkit wants one.")
    var noAskPassword = false

    @OptionGroup var manager: ManagerOption

    func validate() { if noAskPassword { PasswordAgent.leaveOut() } }
}

struct GuestArgument: ParsableArguments {
    @Argument(help: "The guest's name, as in NAME.guest.", completion: .guestNames)
    var name: String
    @OptionGroup var common: CommonOptions
}

struct QEMUOption: ParsableArguments {
    @Option(help: "The QEMU program to use this time, instead of QEMU= in the definition.")
    var qemu: String?
}
