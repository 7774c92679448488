import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Varlink

/// What is gathered for a preflight, and what becomes of its findings.
extension GuestSupervisor {
    /// Set in a VM process that is to load, besides those that every VM process has.
    static let loadCapabilities: [MigrationCapability] = [.ignoreShared, .events, .lateBlockActivate]

    /// No QEMU has more reasons at a time.
    private static let shownBlockers = 8

    /// Refuses the operation under way where something speaks against it. Called twice: before the next VM process is
    /// started, and with it.
    func checkPreflight() async throws {
        if next == nil { try await reconcileMemory() }
        guard let ledger, let facts else { return }
        var preflight = Preflight(guest: name, hardware: nextHardware(ledger), program: .usable(facts))
        preflight.changes = definitionChanges
        preflight.ram = try await gatherRAM(ledger)
        if ledger.phase == .running, let current { preflight.running = try await gather(current) }
        preflight.memory = gatherMemory()
        preflight.networks = HostNetwork.states(preflight.hardware, of: name)
        preflight.tpmProblem = tpmProblem(preflight.hardware, of: ledger.phase == .running ? current : nil)
        preflight.goneFiles = goneFiles(of: definition)
        preflight.bootedIn = ledger.bootedIn
        if let next {
            try await gatherMachine(&preflight, of: next.qmp)
            if current?.record.isForeign == true {
                preflight.pci = try await next.qmp.execute(QueryPCI(), deadline: questionDeadline).functions
            }
            if case .up(var cpu) = preflight.machine {
                cpu?.names = []
                next.cpu = cpu
            }
        }
        let before = findings
        findings = preflight.findings
        for finding in findings where finding.severity == .warning && !before.contains(finding) {
            journal(.preflightWarning(finding))
        }
        let blockers = findings.filter { $0.severity == .blocker }
        if !blockers.isEmpty {
            throw Lifecycle.Failure(blockers.map(\.description).joined(separator: "\n"))
        }
    }

    /// What speaks for or against a handover now. Changes nothing.
    func check(qemu: String?) async throws(Refusal) -> GuestInterface.CheckReply {
        guard case .standing(let standing) = lifecycle.state else {
            throw Refusal("something is being done to it (\(summary)); try again")
        }
        if case .failure(let refusal) = Request.upgrade.operation(standing: standing, isPaused: lifecycle.isPaused) {
            throw refusal
        }
        guard !isChecking else { throw Refusal("another check is under way; try again") }
        guard let ledger, let current else { throw Refusal("the guest is not running", isNotRunning: true) }
        isChecking = true
        defer { isChecking = false }
        do {
            return try await gatherCheck(qemu, ledger, current)
        } catch {
            throw Refusal("the check was cut off: \(error)")
        }
    }

    /// What the definition as it is now says otherwise than the guest runs with. Changes nothing.
    func differences() async throws -> GuestInterface.DifferencesReply {
        guard let ledger else { throw Refusal("the guest is not running", isNotRunning: true) }
        let known = definition
        let wanted = try await loadDefinition().0
        let changes = DefinitionChanges(to: wanted, from: known, running: ledger.hardware)
        return GuestInterface.DifferencesReply(
            appliedByHandover: changes.applied,
            needPowerCycle: changes.waiting
        )
    }

    private func gatherCheck(
        _ qemu: String?,
        _ ledger: Ledger,
        _ current: VMProcess
    ) async throws -> GuestInterface.CheckReply {
        let wanted: GuestDefinition
        do {
            wanted = try await loadDefinition().0
        } catch let error as DefinitionError {
            let finding = Finding(
                .blocker,
                .definitionInvalid,
                "the guest's definition can't be used:\n\(error)",
                "mend it"
            )
            return GuestInterface.CheckReply(qemu: nil, qemuVersion: nil, findings: [finding.forClients])
        }
        let path = qemu ?? wanted.qemu
        let deadline = wanted.handover.prepare
        var preflight = Preflight(
            guest: name,
            hardware: ledger.hardware.applyingHostSettings(of: wanted.hardware),
            program: .unusable("")
        )
        preflight.changes = DefinitionChanges(to: wanted, from: definition, running: ledger.hardware)
        preflight.ram = try await gatherRAM(ledger, of: current)
        preflight.running = try await gather(current)
        preflight.memory = gatherMemory(of: current)
        preflight.sharedHugePages = MemoryInformation.sharedHugePages()
        preflight.networks = HostNetwork.states(preflight.hardware, of: name)
        preflight.tpmProblem = tpmProblem(preflight.hardware, of: current)
        preflight.goneFiles = goneFiles(of: wanted)
        await lookForReplacedFirmware()
        preflight.replacedFirmware = replacedFirmware.paths
        preflight.bootedIn = ledger.bootedIn
        do {
            let facts = try await QEMUProbe.run(
                path: path,
                calls: calls,
                loop: loop,
                deadline: deadline,
                confinement: try await confinement()
            )
            preflight.program = .usable(facts)
            if (try? facts.pinnedMachine(ledger.hardware.machine)) != nil {
                try await probeMachine(&preflight, facts, deadline)
            }
        } catch {
            preflight.program = .unusable("\(error)")
        }
        var facts: QEMUFacts?
        if case .usable(let found) = preflight.program { facts = found }
        return GuestInterface.CheckReply(
            qemu: facts?.path,
            qemuVersion: facts.map { "\($0.version)" },
            findings: preflight.findings.map(\.forClients)
        )
    }

    /// Asks a QEMU that has the guest's machine and nothing else of the guest.
    private func probeMachine(_ preflight: inout Preflight, _ facts: QEMUFacts, _ deadline: Duration) async throws {
        var gathered = preflight
        do {
            let confinement = try await confinement()
            gathered = try await QEMUProbe.withQEMU(
                facts.path,
                calls: calls,
                loop: loop,
                deadline: deadline,
                confinement: confinement
            ) { monitor in
                QEMUCommandLine.probe(cpuOf: gathered.hardware, monitor: monitor, version: facts.version)
            } ask: { qmp in
                var gathered = gathered
                try await gatherMachine(&gathered, of: qmp)
                return gathered
            }
        } catch {
            gathered.machine = .refused("\(error)")
        }
        preflight = gathered
    }

    // MARK: Gathering

    /// A question of the preparation has no more time than a step of it.
    private var questionDeadline: Duration { min(GuestSupervisor.answerDeadline, timeouts.prepare) }

    private func gatherRAM(_ ledger: Ledger, of vm: VMProcess? = nil) async throws -> [Preflight.RAM] {
        let vm = vm ?? (ledger.phase == .running ? current : nil)
        var mappings: Mappings?
        if let vm { mappings = try Mappings(reading: try await view(of: vm).maps) }
        let isShared = next?.isThrowAway != true
        var nextMappings: Mappings?
        if let next { nextMappings = try Mappings(reading: try await view(of: next).maps) }
        return try ledger.hardware.memoryBlocks.map { block in
            let file = inventory[Inventory.ram(block.id)]
            var ram = Preflight.RAM(id: block.id, backend: block.backend, size: block.size, isStored: file != nil)
            guard let identity = try file?.identity() else { return ram }
            ram.mapped = mappings?.length(of: identity, shared: true)
            ram.mappedByNext = nextMappings?.length(of: identity, shared: isShared)
            return ram
        }
    }

    private func goneFiles(of definition: GuestDefinition?) -> [String] {
        (definition?.hardware.startPaths ?? []).filter { path in
            do throws(SystemCallError) {
                _ = try FileIdentity.of(path: path)
                return false
            } catch {
                // What is in a directory that is not root's to enter may be there.
                return error.code != EACCES
            }
        }
    }

    private func gather(_ vm: VMProcess) async throws -> Preflight.Running {
        let deadline = questionDeadline
        var running = Preflight.Running(
            title: vm.title,
            state: try await vm.qmp.execute(QueryStatus(), deadline: deadline).status,
            qemu: vm.record.qemu,
            version: vm.record.version
        )
        running.isPaused = ledger?.isPaused == true
        running.blockers =
            try await vm.qmp.execute(QueryMigration(), deadline: deadline).blockers?.prefix(
                GuestSupervisor.shownBlockers
            )
            .map(\.description) ?? []
        running.backends = try await vm.qmp.execute(QueryMemoryBackends(), deadline: deadline).map { backend in
            Preflight.Backend(id: backend.id?.description ?? "", size: backend.size, isShared: backend.share ?? false)
        }
        if vm.record.isForeign {
            running.pci = try await vm.qmp.execute(QueryPCI(), deadline: deadline).functions
        } else {
            running.commandLine = vm.commandLine
        }
        if vm.cpu == nil { vm.cpu = try await CPUFeatures(asking: vm.qmp, deadline: deadline) }
        running.cpu = vm.cpu
        let view = try await view(of: vm)
        running.replacedFiles = try await BlockingCalls.run { OutdatedProgram.replacedFiles(view) }
        return running
    }

    /// Asks a QEMU that has the guest's machine. Where the CPU would lose something, also how that is called.
    private func gatherMachine(_ preflight: inout Preflight, of qmp: QMPClient) async throws {
        let deadline = questionDeadline
        var cpu = try await CPUFeatures(asking: qmp, deadline: deadline)
        if let current, let old = preflight.running?.cpu, let new = cpu, !old.lost(in: new).isEmpty {
            preflight.running?.cpu?.names = try await CPUFeatures.names(asking: current.qmp, deadline: deadline)
            cpu?.names = try await CPUFeatures.names(asking: qmp, deadline: deadline)
        }
        preflight.machine = .up(cpu: cpu)
    }

    private func gatherMemory(of vm: VMProcess? = nil) -> Preflight.Memory? {
        // Once the next VM process is there, it has taken its part already.
        guard next == nil, let pid = (vm ?? current)?.record.pid,
            let needed = try? MemoryInformation.anonymous(of: pid),
            let available = try? MemoryInformation.available()
        else { return nil }
        let group = MemoryInformation.groupWithLeastRoom(of: pid)
        return Preflight.Memory(needed: needed, available: available, group: group)
    }
}

extension Finding {
    fileprivate var forClients: GuestInterface.Finding {
        GuestInterface.Finding(
            severity: severity.rawValue,
            identifier: identifier.rawValue,
            sentence: sentence,
            remedy: remedy
        )
    }
}
