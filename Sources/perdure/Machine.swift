import ArgumentParser
import CLinux
import Glibc
import GuestDefinition
import Linux
import Systemd

struct Machine: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Be a guest's machine to systemd-machined. Run by perdure-machine@NAME.service, not by hand.",
        shouldDisplay: false
    )

    private static let deadline = Duration.seconds(10)
    /// What 'machinectl poweroff' sends to a machine's leader (systemd(1)).
    private static let powerOff = __libc_current_sigrtmin() + 4

    @OptionGroup var guest: GuestArgument

    /// The guest's supervisor is not the machine's leader: machined may stop the unit that the leader is in, as when it
    /// has seen it inactive for a moment.
    func run() throws {
        if let problem = GuestName.problem(with: guest.name) { throw Exit.failure(problem) }
        // SIGINT is what 'machinectl reboot' sends.
        let wanted = [SIGTERM, SIGINT, Machine.powerOff]
        try Signals.block(wanted)
        let signals = try Signals.descriptor(for: wanted)
        // One of an instance before this one that was killed.
        try? Machines.unregister(guest.name, deadline: Machine.deadline)
        do {
            try Machines.register(guest.name, leader: getpid(), deadline: Machine.deadline)
        } catch {
            throw Exit.failure("guest '\(guest.name)' is not shown by machinectl: \(error)")
        }
        Notifier.send("READY=1")
        while true {
            _ = try Polling.wait(for: [.readable(signals.raw)])
            while let signal = try? Signals.next(from: signals) {
                if signal == SIGTERM { return try Machines.unregister(guest.name, deadline: Machine.deadline) }
                act(on: signal)
            }
        }
    }

    private func act(on signal: Int32) {
        let unit = "perdure@\(guest.name).service"
        guard signal == Machine.powerOff else {
            return say(
                "'machinectl reboot' is not supported: reboot guest '\(guest.name)' from within, or stop and start it"
            )
        }
        say("Powering guest '\(guest.name)' off for machinectl")
        do {
            try Manager.stopUnit(unit, deadline: Machine.deadline)
        } catch {
            say("'\(unit)' can't be stopped: \(error)")
        }
    }

    private func say(_ message: String) {
        JournalEntry(message, priority: .notice, fields: ["PERDURE_GUEST": guest.name]).send()
    }
}
