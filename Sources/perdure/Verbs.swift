import ArgumentParser
import Linux
import Varlink

/// A command that asks a guest's supervisor for one thing, and says how the guest stands then.
protocol GuestVerb: ParsableCommand {
    static var method: GuestInterface.Method { get }
    var guest: GuestArgument { get }
    var output: OutputOption { get }
}

extension GuestVerb {
    func run() throws {
        let progress = ProgressLine.ifSeen(json: output.json)
        let status = try GuestClient(guest.name).call(Self.method, progress: progress)
        try output.show(status, "\(guest.name): \(status.summary)")
    }
}

struct Save: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Pause a guest and save its device state; 'exec' and 'load' continue it."
    )
    static let method = GuestInterface.Method.save

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Load: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Load a saved guest into its new VM process and continue it."
    )
    static let method = GuestInterface.Method.load

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Hold: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Save a guest and end its VM process; 'resume' continues it.",
        discussion:
            "The guest's memory and state wait in systemd's descriptor store, for as long as the unit is active."
    )
    static let method = GuestInterface.Method.hold

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Pause: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Have a guest stand still until 'resume', through handovers and new supervisors."
    )
    static let method = GuestInterface.Method.pause

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Resume: GuestVerb {
    static let configuration = CommandConfiguration(abstract: "Continue a guest that is paused, saved or held.")
    static let method = GuestInterface.Method.resume

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Reset: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Press a guest's reset button: it boots again, without having shut down."
    )
    static let method = GuestInterface.Method.reset

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct PowerDown: GuestVerb {
    static let configuration = CommandConfiguration(
        commandName: "powerdown",
        abstract: "Press a guest's power button, and leave the rest to the guest.",
        discussion: "'systemctl stop' waits until the guest is off, and ends one that does not react."
    )
    static let method = GuestInterface.Method.powerDown

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Kill: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "End a guest as a power cut would.",
        discussion: "What the guest has not written to its disks is gone. 'systemctl stop' powers it off in order."
    )
    static let method = GuestInterface.Method.kill

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption
}

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a guest's definition says otherwise than the guest runs with.",
        discussion:
            "What only the host notices is applied by the next handover; the rest waits until the guest has been "
            + "powered off and started again."
    )

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption

    func run() throws {
        let (reply, _) = try GuestClient(guest.name).call(
            .getDifferences,
            GuestInterface.NoParameters(),
            as: GuestInterface.DifferencesReply.self
        )
        try output.show(reply, reply.text(of: guest.name))
    }
}

extension GuestInterface.DifferencesReply {
    func text(of guest: String) -> String {
        let parts = [
            ("The next handover applies ('\(Locations.current.perdure) upgrade \(guest)'):", appliedByHandover),
            ("What waits for a power cycle ('\(Locations.current.systemctl) stop', then 'start'):", needPowerCycle),
        ].filter { !$0.1.isEmpty }
        if parts.isEmpty { return "The guest '\(guest)' runs with what its definition says." }
        return parts.flatMap { [$0.0] + $0.1.map { "  \($0)" } }.joined(separator: "\n")
    }
}
