import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import QMP
import Supervisor
import Systemd
import Varlink

struct Adopt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take over the guest of a QEMU that others have started.",
        discussion: """
            Finds out what the guest has, writes /etc/perdure/NAME.guest, and hands the guest over to a VM process of \
            perdure@NAME.service, which it starts. The QEMU must have its RAM in '-object \
            memory-backend-file,id=ID,share=on,…', or up to 8.0 'memory-backend-memfd', with '-machine \
            memory-backend=ID'. What can't be taken over is refused \
            with every reason (status 75), and the QEMU runs on as it was.
            """
    )

    private static let answerDeadline = Duration.seconds(5)
    /// For the whole of it: the unit's own is shorter.
    private static let deadline = Duration.seconds(150)
    /// After which it is looked whether anybody is still to come.
    private static let lookInterval = Duration.seconds(2)

    @Argument(help: "The guest's name from now on.")
    var name: String
    @Option(help: "The QMP socket of the QEMU.", completion: .file())
    var qmp: String
    @Flag(help: "Say whether it can be taken over, and print the definition, but change nothing.")
    var dryRun = false
    @OptionGroup var output: OutputOption

    private var unit: String { "perdure@\(name).service" }
    private var definitionPath: String { "\(Locations.system.definitions[0])/\(name).guest" }

    func run() async throws {
        if let problem = GuestName.problem(with: name) { throw Exit.usage(problem) }
        guard geteuid() == 0, !Locations.current.isUser else {
            throw Exit.usage("only root can take over a QEMU, and only for the system's own service manager")
        }
        try refuseWhatIsThere()
        let loop = EventLoop(label: "perdure-adopt")
        let monitor = try connect()
        let client = QMPClient(socket: monitor, loop: loop)
        let offer = try await inspect(client, monitor, loop)
        // From here on its answers are the supervisor's.
        await client.close()
        let text = try await plan(offer.machine, loop)
        if dryRun {
            if output.json { return try printJSON(["guest": name, "definition": text]) }
            return print(text, terminator: "")
        }
        try write(text, offer.machine)
        let access: FileAccess?
        do {
            access = try offer.openMemory(to: name)
        } catch {
            unlink(definitionPath)
            throw Exit.refused("the guest's RAM can't be opened to its VM processes: \(error)")
        }
        do {
            try await handOver(offer, loop)
        } catch let failure as CommandFailure where failure.status == .refused {
            // Nothing is left of the attempt. Of any other failure it is not known what has become of the guest.
            unlink(definitionPath)
            if let access { try? offer.ram.setAccess(access) }
            throw failure
        }
        let status = try GuestClient(name).call(.getStatus)
        try output.show(
            status,
            """
            \(name): taken over from process \(offer.machine.pid), which has ended; \(status.summary)
            Have it started at each boot of this host with: systemctl enable perdure@\(name)
            """
        )
    }

    // MARK: Before anything is changed

    private func refuseWhatIsThere() throws {
        for directory in Locations.system.definitions where access("\(directory)/\(name).guest", F_OK) == 0 {
            throw Exit.refused("there is a guest '\(name)' already, in '\(directory)/\(name).guest'")
        }
        guard (try? GuestClient(name)) == nil else { throw Exit.refused("the guest '\(name)' is running already") }
    }

    private func connect() throws -> Descriptor {
        do {
            return try UnixSocket.connect(qmp)
        } catch {
            throw Exit.usage("the QMP socket '\(qmp)' can't be reached: \(error)")
        }
    }

    private func inspect(
        _ client: QMPClient,
        _ monitor: Descriptor,
        _ loop: EventLoop
    ) async throws -> AdoptionLink.Offer {
        let pid = try UnixSocket.peer(monitor).pid
        guard pid > 0 else { throw Exit.refused("the QEMU behind '\(qmp)' is in another PID namespace") }
        let handle = try ProcessHandle(pid: pid)
        do {
            try await client.negotiate(deadline: Adopt.answerDeadline)
        } catch {
            throw Exit.refused(
                "'\(qmp)' does not answer as QEMU's monitor: \(error); is somebody else connected to it?"
            )
        }
        do {
            let (machine, ram, maps) = try await ForeignMachine.inspect(
                client,
                process: handle,
                deadline: Adopt.answerDeadline
            )
            return AdoptionLink.Offer(machine: machine, monitor: monitor, ram: ram, maps: maps)
        } catch let obstacles as ForeignMachine.Obstacles {
            let list = obstacles.sentences.map { "\n  \($0)" }.joined()
            throw Exit.refused("the QEMU with process ID \(pid) can't be taken over, and runs on as it was:\(list)")
        } catch {
            throw Exit.refused("the QEMU with process ID \(pid) can't be taken over, and runs on as it was: \(error)")
        }
    }

    /// The definition, which the next QEMU is known to be able to carry out.
    private func plan(_ machine: ForeignMachine, _ loop: EventLoop) async throws -> String {
        let isUsual = machine.qemu == GuestDefinition.defaultQEMU || access(machine.qemu, X_OK) < 0
        let qemu = isUsual ? GuestDefinition.defaultQEMU : machine.qemu
        var hardware = machine.hardware
        do {
            let facts = try await QEMUProbe.run(path: qemu, loop: loop, deadline: Adopt.answerDeadline * 6)
            hardware.machine = try facts.pinnedMachine(hardware.machine)
            hardware.cpuModel = try facts.pinnedCPUModel(hardware.cpuModel)
        } catch {
            throw Exit.refused("the guest can't be taken over: \(error)")
        }
        return AdoptedGuest(hardware: hardware, qemu: isUsual ? nil : qemu).text
    }

    // MARK: The change

    /// Writes the definition, and makes sure that it says what is there.
    private func write(_ text: String, _ machine: ForeignMachine) throws {
        try Directory.make(Locations.system.definitions[0])
        let file = try Descriptor.create(definitionPath, mode: 0o644)
        do {
            try file.write(Array(text.utf8), at: 0)
            try file.sync()
            var defined = try DefinitionLoader().load(name).0.hardware
            var wanted = machine.hardware.asDefined
            (defined.machine, defined.cpuModel) = (wanted.machine, wanted.cpuModel)
            // Others' order and names of cache modes are the same by now; what is left differs for the guest.
            wanted.cloudInit = nil
            guard defined == wanted else {
                let differences = defined.changes(from: wanted).joined(separator: "; ")
                throw Exit.refused("a definition can't say all of what the guest has: \(differences)")
            }
        } catch {
            unlink(definitionPath)
            if let error = error as? DefinitionError {
                throw Exit.refused("the guest can't be taken over, since its definition would be wrong:\n\(error)")
            }
            throw error
        }
    }

    /// Has the guest's supervisor take it over, and returns when it has.
    private func handOver(_ offer: AdoptionLink.Offer, _ loop: EventLoop) async throws {
        try Directory.make(AdoptionLink.directory)
        let path = AdoptionLink.path(of: name)
        let listener = try UnixSocket.listen(path, mode: 0o600)
        defer { unlink(path) }
        let start = try await ProgramRun.run(
            "/usr/bin/systemctl",
            ["start", "--no-block", unit],
            loop: loop,
            deadline: Adopt.answerDeadline * 2
        )
        guard start.succeeded else { throw Exit.refused("'\(unit)' can't be started: \(start.lastWords)") }
        let end = ContinuousClock.now + Adopt.deadline
        while ContinuousClock.now < end {
            do {
                try await loop.readable(listener, deadline: Adopt.lookInterval)
            } catch is EventLoop.DeadlinePassed {
                if try await isUnitUp() { continue }
                throw Exit.refused("'\(unit)' has ended without taking the guest over; see 'journalctl -u \(unit)'")
            }
            guard let connection = try UnixSocket.accept(listener) else { continue }
            let link = AdoptionLink(socket: connection)
            // A supervisor that ends has a successor, which carries on.
            try? link.offer(offer)
            guard let verdict = try? await link.verdict(loop: loop, deadline: max(.zero, end - .now)) else { continue }
            guard let reason = verdict.reason else { return }
            throw Exit.refused("the guest was not taken over, and runs on as it was: \(reason)")
        }
        throw Exit.failure("'\(unit)' does not say what has become of the guest; see 'journalctl -u \(unit)'")
    }

    private func isUnitUp() async throws -> Bool {
        let unit = unit
        let found = try await BlockingCalls.run { try Manager.units(matching: unit, deadline: Adopt.answerDeadline) }
        return found.contains { !["failed", "inactive"].contains($0.activeState) }
    }
}
