import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Supervisor
import Systemd

struct Supervise: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take care of a guest. Run by perdure@NAME.service, not by hand."
    )

    @OptionGroup var guest: GuestArgument

    func run() { Supervision.run(guest: guest.name) }
}

/// The main program of `perdure@NAME.service`.
enum Supervision {
    static func run(guest: String) -> Never {
        if let problem = GuestName.problem(with: guest) { Exit.definition(problem).exit() }
        guard Notifier.isAvailable else {
            Exit.failure("a supervisor is started by systemd: '\(Locations.current.systemctl) start perdure@\(guest)'")
                .exit()
        }
        // Before any other thread is there: signals sent early wait until they can be understood.
        let signals: Descriptor
        do {
            try Signals.block([SIGTERM, SIGUSR2])
            signals = try Signals.descriptor(for: [SIGTERM, SIGUSR2])
        } catch {
            Exit.failure("\(error)").exit()
        }
        signal(SIGPIPE, SIG_IGN)
        let loop = EventLoop(label: "perdure.\(guest)")
        let supervisor = GuestSupervisor(guest: guest, loop: loop) { status in exit(status) }
        // Everything happens on the loop's thread, from the beginning: the runtime's own would stay, and wake every second.
        let beginning = loop.after(.zero) {
            supervisor.assumeIsolated {
                $0.start(signals: signals, runtimeDirectory: GuestClient.directory(of: guest))
            }
        }
        // Not dispatchMain(): it unblocks signals.
        while true { withExtendedLifetime((supervisor, beginning)) { _ = pause() } }
    }
}

struct StopPost: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop-post",
        abstract: "Clean up after a stopped guest. Run by perdure@NAME.service, not by hand.",
        shouldDisplay: false
    )

    private static let deadline = Duration.seconds(10)

    @OptionGroup var guest: GuestArgument

    /// A supervisor that was killed during a stop has left its VM process behind, and systemd drops the descriptor
    /// store with the stop: nobody could take care of that VM process any more. After anything but a stop the next
    /// supervisor does.
    func run() throws {
        guard try Manager.job(of: "perdure@\(guest.name).service", deadline: StopPost.deadline) == .stop else { return }
        for (scope, processes) in try GuestScopes.living(guest: guest.name, deadline: StopPost.deadline)
        where !processes.isEmpty {
            JournalEntry(
                "Ending '\(scope)', which the supervisor of guest '\(guest.name)' left behind",
                priority: .warning,
                fields: ["PERDURE_GUEST": guest.name]
            ).send()
            try Manager.stopUnit(scope, deadline: StopPost.deadline)
        }
        if geteuid() == 0 { try GuestInterfaces.remove(of: guest.name) }
    }
}
