import ArgumentParser
import Dispatch
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

    func run() throws {
        if let problem = GuestName.problem(with: guest.name) { throw Exit.definition(problem) }
        guard Notifier.isAvailable else {
            throw Exit.failure("a supervisor is started by systemd: 'systemctl start perdure@\(guest.name)'")
        }
        // Before any other thread is there: signals sent early wait until they can be understood.
        try Signals.block([SIGTERM, SIGUSR2])
        signal(SIGPIPE, SIG_IGN)
        let signals = try Signals.descriptor(for: [SIGTERM, SIGUSR2])
        let loop = EventLoop(label: "perdure.\(guest.name)")
        let supervisor = GuestSupervisor(guest: guest.name, loop: loop) { status in Glibc.exit(status) }
        let runtimeDirectory = "/run/perdure/\(guest.name)"
        Task.detached { await supervisor.start(signals: signals, runtimeDirectory: runtimeDirectory) }
        // Not dispatchMain(): it unblocks signals.
        DispatchSemaphore(value: 0).wait()
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
    }
}
