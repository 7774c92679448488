import GuestDefinition
import Lifecycle
import Linux
import QMP

/// The serial console. QEMU appends the guest's output to `console.log`, always, and reads its input from the pipe
/// `console.in`, but only while it runs the guest: a byte that a VM process has read is in the guest's UART, and so part
/// of the device state, or still in the pipe for the next one.
extension GuestSupervisor {
    /// Before the guest is stopped to be saved: what comes from here on waits in the pipe.
    func closeConsoleInput(of vm: VMProcess) async throws {
        guard let console = vm.record.console, console.input != nil, vm.takesConsoleInput != false else { return }
        let command = ChangeConsole(to: .output(log: console.log))
        try await vm.qmp.execute(command, deadline: timeouts.stop)
        vm.takesConsoleInput = false
    }

    /// Once the guest runs, so that it does not wait for this.
    func openConsoleInput(of vm: VMProcess) async {
        guard let console = vm.record.console, let input = console.input, vm.takesConsoleInput != true else { return }
        // Should no answer come it may be done all the same, later.
        vm.takesConsoleInput = nil
        do {
            let command = ChangeConsole(to: .both(log: console.log, input: input))
            try await vm.qmp.execute(command, deadline: GuestSupervisor.answerDeadline)
            vm.takesConsoleInput = true
        } catch {
            if vm.end == nil { journal(.consoleInputFailed(vm.title, "\(error)")) }
        }
    }

    /// How long the console's log may grow before it is looked at again, so that a guest that floods its console does
    /// not keep the loop from everything else.
    private static let consoleRest = Duration.seconds(1)

    /// How often it is looked at where it can't be watched.
    private static let consoleInterval = Duration.seconds(10)

    /// Gives back what lies further behind than [Console] Retain= says, now and whenever the guest has written more.
    func trimConsole() {
        guard consoleWatch == nil, consoleTimer == nil, let log = inventory[Inventory.consoleLog] else { return }
        do {
            let writes = try FileWatch.writes(to: log)
            consoleWatch = loop.whenReadable(writes.descriptor) { [weak self] in
                self?.assumeIsolated { $0.restFromConsole(GuestSupervisor.consoleRest) }
            }
        } catch {
            // A user can have only so many of what watches files.
            if !isConsoleUnwatched { journal(.consoleUnwatched("\(error)")) }
            isConsoleUnwatched = true
            restFromConsole(GuestSupervisor.consoleInterval)
        }
        loop.spawn {
            // More than was logged at once: there may be nothing more to wake for it.
            if await forwardConsole(), consoleTimer == nil { restFromConsole(GuestSupervisor.consoleRest) }
        }
        let retain = definition?.consoleRetain ?? 1 << 20
        // Looked at only after the watch is there: what is written in between is not missed.
        guard let size = try? log.size(), size > consoleTrimmedTo + retain + retain / 4 else { return }
        let keepFrom = (size - retain) / 4096 * 4096
        if (try? MemoryFile.discard(log, first: keepFrom)) != nil { consoleTrimmedTo = keepFrom }
    }

    private func restFromConsole(_ rest: Duration) {
        consoleWatch = nil
        consoleTimer = loop.after(rest) { [weak self] in
            self?.assumeIsolated { supervisor in
                supervisor.consoleTimer = nil
                supervisor.trimConsole()
            }
        }
    }
}
