import ArgumentParser
import Dispatch
import Glibc
import Linux
import Reports
import Supervisor
import Synchronization
import Varlink

struct Upgrade: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the VM process under running guests, by default with the QEMU that is installed now.",
        discussion: """
            Several guests are handed over one after the other. Each has to run and to answer before the next one's turn \
            comes, and its guest agent within \(Rollout.agentDeadline.components.seconds) s if that answered before; with \
            the first one that does not, or is refused, it ends. One that is refused runs on where it was.
            """
    )

    @Argument(help: "The guests' names, as in NAME.guest.", completion: .guestNames)
    var names: [String] = []
    @Flag(help: "All guests that are running or paused.")
    var all = false
    @Flag(help: "Leave out guests whose QEMU has not been replaced on disk since it was started.")
    var outdated = false
    @Option(help: ArgumentHelp("How many guests are handed over at a time.", valueName: "count"))
    var parallel = 1
    @OptionGroup var option: QEMUOption
    @Flag(
        help:
            "Only try whether the new QEMU loads the guest, which is paused for that moment and then runs on as before."
    )
    var dryRun = false
    @OptionGroup var output: OutputOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if names.isEmpty != all { throw ValidationError("Name the guests to upgrade, or say '--all'.") }
        if !(1...64).contains(parallel) { throw ValidationError("'--parallel' takes a number from 1 to 64.") }
    }

    func run() throws {
        let rollout = Rollout(qemu: option.qemu, isRehearsal: dryRun, isSilent: output.json)
        rollout.run(try candidates(rollout), parallel: parallel)
        // Of one guest all has been said.
        let isOne = names.count == 1 && !rollout.results.contains { $0.outcome == .skipped }
        if output.json { try printJSON(["guests": rollout.results]) } else if !isOne { print(rollout.summary) }
        if let status = rollout.failure { throw ExitCode(status.rawValue) }
    }

    /// Whose turn it is, in order. What can't be handed over as it stands is left out of all, and not of those named.
    private func candidates(_ rollout: Rollout) throws -> [String] {
        var seen: Set<String> = []
        let wanted = (all ? RunningGuests.names() : names).filter { seen.insert($0).inserted }
        if !all && !outdated { return wanted }
        let overviews = Dictionary(try RunningGuests.overviews().map { ($0.name, $0) }) { first, _ in first }
        return wanted.filter { name in
            guard let overview = overviews[name] else { return true }
            if outdated, overview.outdated == false {
                rollout.skip(name, "its QEMU is the one that is installed")
                return false
            }
            if all, !["running", "paused"].contains(overview.state) {
                rollout.skip(name, "it is \(overview.state)")
                return false
            }
            return true
        }
    }
}

/// Handovers of several guests, up to the first that fails.
final class Rollout: Sendable {
    struct Result: Encodable, Sendable {
        enum Outcome: String, Encodable, Sendable {
            case done, failed, skipped
            case notTried = "not-tried"
        }

        var guest: String
        var outcome: Outcome
        var reason: String?
        var qemuVersion: String?
        var pauseUsec: Int?
        /// What the guest agent did before the handover: `answers`, as it did then, `silent` or `busy`, where it was not
        /// asked afterwards; nil where there is none.
        var agent: String?
    }

    private struct Work {
        var waiting: [String] = []
        var results: [Result] = []
        var failure: Exit?
    }

    /// How long an agent may take to answer before the handover, and how long afterwards.
    private static let agentPatience = Duration.seconds(2)
    fileprivate static let agentDeadline = Duration.seconds(10)

    private let qemu: String?
    private let isRehearsal: Bool
    private let isSilent: Bool
    private let progress: ProgressLine?
    private let work = Mutex(Work())

    init(qemu: String?, isRehearsal: Bool, isSilent: Bool) {
        (self.qemu, self.isRehearsal, self.isSilent) = (qemu, isRehearsal, isSilent)
        progress = ProgressLine.ifSeen(json: isSilent)
    }

    /// What the first guest that failed would have had this program exit with by itself.
    var failure: Exit? { work.withLock { $0.failure } }

    var results: [Result] { work.withLock { $0.results }.sorted { $0.guest < $1.guest } }

    func skip(_ guest: String, _ reason: String) {
        work.withLock { $0.results.append(Result(guest: guest, outcome: .skipped, reason: reason)) }
    }

    func run(_ guests: [String], parallel: Int) {
        work.withLock { $0.waiting = guests }
        // It lives as long as this thread, which sees all of them through.
        _ = PasswordAgent.isThere
        tellProgress(of: guests.count)
        DispatchQueue.concurrentPerform(iterations: max(1, min(parallel, guests.count))) { _ in
            while let guest = next() {
                handOver(guest)
                tellProgress(of: guests.count)
            }
        }
        work.withLock { work in
            for guest in work.waiting { work.results.append(Result(guest: guest, outcome: .notTried)) }
        }
    }

    private func next() -> String? {
        work.withLock { $0.failure != nil || $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
    }

    private func tellProgress(of count: Int) {
        guard let progress, count > 1 else { return }
        let done = results.count { $0.outcome == .done }
        progress.setPrefix("\(done) of \(count) done; ")
    }

    private func handOver(_ guest: String) {
        do {
            let client = try GuestClient(guest)
            let parameters = GuestInterface.QEMUParameters(qemu: qemu)
            let result = isRehearsal ? try rehearse(client, parameters) : try upgrade(client, parameters)
            work.withLock { $0.results.append(result) }
        } catch {
            let failure = error as? CommandFailure
            let reason = failure?.message ?? "\(error)"
            work.withLock { work in
                work.failure = work.failure ?? failure?.status ?? .failure
                work.results.append(Result(guest: guest, outcome: .failed, reason: reason))
            }
            if !isSilent { tell("perdure: \(reason)") }
        }
    }

    private func rehearse(_ client: GuestClient, _ parameters: GuestInterface.QEMUParameters) throws -> Result {
        let reply = try client.call(
            .rehearse,
            parameters,
            as: GuestInterface.RehearsalReply.self,
            progress: progress
        ).0
        let pause = Milliseconds(microseconds: reply.pauseUsec)
        if !isSilent { print("QEMU \(reply.qemuVersion) loads guest '\(client.guest)'; pause \(pause)") }
        return Result(
            guest: client.guest,
            outcome: .done,
            qemuVersion: reply.qemuVersion,
            pauseUsec: reply.pauseUsec
        )
    }

    private func upgrade(_ client: GuestClient, _ parameters: GuestInterface.QEMUParameters) throws -> Result {
        // Who may hand the guest over need not be allowed this, and an older supervisor knows nothing of it.
        let agent = (try? ping(client, Rollout.agentPatience)) ?? GuestInterface.AgentState.none
        let status = try client.call(.upgrade, parameters, progress: progress)
        // It has been told to continue, and has said that it did: whether it goes on so is another question.
        _ = try client.call(.prove, progress: progress)
        if !isSilent { print("\(client.guest): \(status.summary)") }
        if agent == .answers { try expectAgent(client) }
        if agent == .busy, !isSilent {
            print("\(client.guest): somebody talks to its agent, which was not asked whether it is well")
        }
        return Result(
            guest: client.guest,
            outcome: .done,
            qemuVersion: status.qemuVersion,
            pauseUsec: status.lastPauseUsec,
            agent: agent == .none ? nil : agent.rawValue
        )
    }

    private func ping(_ client: GuestClient, _ deadline: Duration) throws -> GuestInterface.AgentState {
        progress?.update(client.guest, "Asking the guest agent")
        defer { progress?.finish(client.guest) }
        let parameters = GuestInterface.PingParameters(timeoutUsec: deadline.microseconds)
        return try client.call(.pingAgent, parameters, as: GuestInterface.PingReply.self).0.agent
    }

    private func expectAgent(_ client: GuestClient) throws {
        guard try ping(client, Rollout.agentDeadline) == .silent else { return }
        throw Exit.failure(
            "guest '\(client.guest)' runs in its new VM process, but its agent, which answered before the handover, has not "
                + "done so within \(Rollout.agentDeadline.components.seconds) s"
        )
    }

    private func tell(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }

    var summary: String {
        let results = results
        func part(_ outcome: Result.Outcome, _ title: String) -> String? {
            let names = results.filter { $0.outcome == outcome }.map(\.guest)
            return names.isEmpty ? nil : "\(title): \(names.count) (\(names.joined(separator: ", ")))"
        }
        let parts = [
            part(.done, isRehearsal ? "can be handed over" : "done"), part(.failed, "failed"),
            part(.notTried, "not tried"), part(.skipped, "left out"),
        ].compactMap { $0 }
        return parts.isEmpty ? "No guest is running." : parts.joined(separator: "; ")
    }
}
