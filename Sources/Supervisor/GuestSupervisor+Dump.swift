import Lifecycle
import Linux
import QMP

/// A guest's memory and registers for a debugger. QEMU writes them, while the guest stands still, to a socket of whoever
/// has asked: as soon as either end of it is shut, QEMU gives up and goes on with the guest.
extension GuestSupervisor {
    struct DumpRequest {
        /// As QEMU calls it.
        var format: String
        /// By the guest's virtual addresses.
        var isPaged: Bool
        var output: Descriptor
    }

    /// Without progress for so long, the dump is given up.
    private static let dumpPatience = Duration.seconds(30)
    private static let longestDump = Duration.seconds(24 * 3600)

    /// What speaks against the dump, before the guest is paused for it.
    func checkDump(_ dump: DumpRequest) async throws(Refusal) {
        guard case .standing(.running) = lifecycle.state, let current else { return }
        let formats: [String]
        do {
            formats = try await current.qmp.execute(
                QueryDumpCapability(),
                deadline: GuestSupervisor.answerDeadline
            ).formats.filter { !$0.hasSuffix("-raw") }
        } catch {
            throw Refusal("QEMU does not say how it dumps memory: \(error)")
        }
        guard formats.contains(dump.format) else {
            throw Refusal(
                "\(current.title) has no dump format '\(ForeignText.printable(dump.format, limit: 40))'; it has "
                    + ForeignText.printable(formats.joined(separator: ", "))
            )
        }
        if dump.isPaged, dump.format != "elf" {
            throw Refusal("only the format 'elf' can have the guest's virtual addresses")
        }
    }

    /// Asks for a dump on a person's behalf; `reply` is called once.
    func request(_ dump: DumpRequest, reply: @escaping (Lifecycle.Reply) -> Void) {
        if case .standing = lifecycle.state { requestedDump = dump }
        request(.dump, qemu: nil, reply: reply)
    }

    func dumpGuest() async throws {
        guard let current, let dump = requestedDump else { throw Lifecycle.Failure("nobody has asked for a dump") }
        defer { requestedDump = nil }
        current.dumpFailure = nil
        do {
            try await current.qmp.execute(
                GetDescriptor(name: "dump"),
                passing: dump.output,
                deadline: GuestSupervisor.answerDeadline
            )
            let watch = watchDump(of: current)
            defer { watch.cancel() }
            // A guest that ran is continued behind the end of the dump.
            let end = lifecycle.isPaused ? "DUMP_COMPLETED" : "RESUME"
            _ = try await current.qmp.execute(
                DumpGuestMemory(format: dump.format, paging: dump.isPaged, descriptor: "dump"),
                awaiting: { $0.name == end },
                deadline: GuestSupervisor.longestDump
            )
            let status = try await current.qmp.execute(QueryDump(), deadline: GuestSupervisor.answerDeadline).status
            guard "\(status)" == "completed" else {
                throw Lifecycle.Failure("QEMU did not get to its end: \(current.dumpFailure ?? "\(status)")")
            }
        } catch let failure as Lifecycle.Failure {
            throw failure
        } catch {
            cutDump()
            throw Lifecycle.Failure("QEMU does not dump the guest's memory: \(error)")
        }
    }

    /// Has a dump that is under way given up: something matters more.
    func cutDump() {
        if let dump = requestedDump { UnixSocket.shutDown(dump.output) }
    }

    /// Whoever asked may have stopped reading: the guest does not wait for that.
    private func watchDump(of vm: VMProcess) -> Timer {
        dumpProgress = (-1, .now)
        let qmp = vm.qmp
        return loop.every(.seconds(1)) { [weak self] in
            self?.assumeIsolated { supervisor in
                supervisor.loop.spawn {
                    let progress = try? await qmp.execute(QueryDump(), deadline: GuestSupervisor.answerDeadline)
                    supervisor.noteDump(progress?.completed)
                }
            }
        }
    }

    private func noteDump(_ completed: Int?) {
        guard let last = dumpProgress, requestedDump != nil else { return }
        if let completed, completed != last.completed {
            dumpProgress = (completed, .now)
        } else if .now - last.since > GuestSupervisor.dumpPatience {
            cutDump()
        }
    }
}
