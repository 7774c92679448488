import ArgumentParser
import Varlink

/// A command that asks a guest's supervisor for one thing, and says how the guest stands then.
protocol GuestVerb: ParsableCommand {
    static var method: GuestInterface.Method { get }
    var guest: GuestArgument { get }
}

extension GuestVerb {
    func run() throws { print("\(guest.name): \(try GuestClient(guest.name).call(Self.method).summary)") }
}

struct Save: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Pause a guest and save its device state; 'exec' and 'load' continue it."
    )
    static let method = GuestInterface.Method.save

    @OptionGroup var guest: GuestArgument
}

struct Load: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Load a saved guest into its new VM process and continue it."
    )
    static let method = GuestInterface.Method.load

    @OptionGroup var guest: GuestArgument
}

struct Hold: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Save a guest and end its VM process; 'resume' continues it.",
        discussion:
            "The guest's memory and state wait in systemd's descriptor store, for as long as the unit is active."
    )
    static let method = GuestInterface.Method.hold

    @OptionGroup var guest: GuestArgument
}

struct Pause: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Have a guest stand still until 'resume', through handovers and new supervisors."
    )
    static let method = GuestInterface.Method.pause

    @OptionGroup var guest: GuestArgument
}

struct Resume: GuestVerb {
    static let configuration = CommandConfiguration(abstract: "Continue a guest that is paused, saved or held.")
    static let method = GuestInterface.Method.resume

    @OptionGroup var guest: GuestArgument
}

struct Reset: GuestVerb {
    static let configuration = CommandConfiguration(
        abstract: "Press a guest's reset button: it boots again, without having shut down."
    )
    static let method = GuestInterface.Method.reset

    @OptionGroup var guest: GuestArgument
}

struct PowerDown: GuestVerb {
    static let configuration = CommandConfiguration(
        commandName: "powerdown",
        abstract: "Press a guest's power button, and leave the rest to the guest.",
        discussion: "'systemctl stop' waits until the guest is off, and ends one that does not react."
    )
    static let method = GuestInterface.Method.powerDown

    @OptionGroup var guest: GuestArgument
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End a guest as a power cut would.",
        discussion: "What the guest has not written to its disks is gone. 'systemctl stop' powers it off in order."
    )

    @OptionGroup var guest: GuestArgument

    func run() throws {
        _ = try GuestClient(guest.name).call(.kill)
        print("\(guest.name): Ended")
    }
}

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a guest's definition says otherwise than the guest runs with.",
        discussion:
            "What only the host notices is applied by the next handover; the rest waits until the guest has been "
            + "powered off and started again."
    )

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let (reply, _) = try GuestClient(guest.name).call(
            .getDifferences,
            GuestInterface.NoParameters(),
            as: GuestInterface.DifferencesReply.self
        )
        if json { return try printJSON(reply) }
        let parts = [
            ("The next handover applies ('perdure upgrade \(guest.name)'):", reply.appliedByHandover),
            ("What waits for a power cycle ('systemctl stop', then 'start'):", reply.needPowerCycle),
        ]
        for (title, sentences) in parts where !sentences.isEmpty {
            print(title)
            for sentence in sentences { print("  \(sentence)") }
        }
        if parts.allSatisfy(\.1.isEmpty) { print("The guest '\(guest.name)' runs with what its definition says.") }
    }
}
