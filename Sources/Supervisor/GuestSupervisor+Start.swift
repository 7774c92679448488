import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Systemd

/// Making a VM process ready: everything before the guest is touched.
extension GuestSupervisor {
    func readDefinition() async throws {
        do {
            let (definition, warnings) = try await loadDefinition(deadline: timeouts.prepare)
            definitionChanges =
                ledger.map { DefinitionChanges(to: definition, from: self.definition, running: $0.hardware) }
                ?? DefinitionChanges()
            self.definition = definition
            for warning in warnings { journal(.definitionWarning("\(warning)")) }
        } catch let error as DefinitionError {
            throw Lifecycle.Failure("\(error)", kind: .definition)
        }
    }

    /// What a guest that runs has copies of may be gone.
    func loadDefinition(
        deadline: Duration? = nil
    ) async throws -> (GuestDefinition, warnings: [Diagnostic]) {
        let (loader, name, copied) = (loader, name, ledger?.copiedPaths ?? [])
        guard let deadline else { return try await BlockingCalls.run { try loader.load(name, copied: copied) } }
        return try await BlockingCalls.run(on: loop, deadline: deadline) { try loader.load(name, copied: copied) }
    }

    /// What the next VM process has: what the guest can see stays, a later change of it waits for the next start.
    func nextHardware(_ ledger: Ledger) -> GuestHardware {
        definition.map { ledger.hardware.applyingHostSettings(of: $0.hardware) } ?? ledger.hardware
    }

    /// The QEMU program to start next.
    var qemuPath: String { requestedQEMU ?? definition?.qemu ?? GuestDefinition.defaultQEMU }

    func probeQEMU() async throws {
        let path = qemuPath
        requestedQEMU = nil
        let identity: FileIdentity
        do {
            identity = try FileIdentity.of(path: path)
        } catch {
            throw Lifecycle.Failure("QEMU can't be used: \(error); see QEMU= in the guest's definition")
        }
        if factsOf?.path != path || factsOf?.identity != identity {
            facts = try await QEMUProbe.run(
                path: path,
                calls: calls,
                loop: loop,
                deadline: timeouts.prepare,
                confinement: try await confinement()
            )
            factsOf = (path, identity)
        }
        try await checkPreflight()
        try checkRefusals()
    }

    func createMemory() async throws {
        guard let definition, let facts else { return }
        var hardware = definition.hardware
        hardware.machine = try facts.pinnedMachine(hardware.machine)
        hardware.cpuModel = try facts.pinnedCPUModel(hardware.cpuModel)
        try checkHostMemory(hardware.ram, "lower Size= in [RAM ID] or free memory")
        let loader = loader
        let problems = try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) { [hardware] in
            TPMEmulator.problems(hardware) + HostNetwork.problems(hardware, of: definition.name)
                + (hardware.networks.isEmpty ? [] : HostNetwork.doubledAddresses(of: definition, in: loader))
        }
        if !problems.isEmpty { throw Lifecycle.Failure(problems.joined(separator: "\n")) }
        try await makeVariableStore(hardware)
        let files = try await pinnedFiles(hardware, facts)
        let file = try LedgerFile()
        inventory[Inventory.ledger] = file.file
        for (name, contents) in files.contents { inventory[name] = contents }
        for block in hardware.ram {
            let name = Inventory.ram(block.id)
            inventory[name] = try MemoryFile.create(
                name,
                size: block.size,
                growth: .fixed,
                hugePages: block.hugePages?.bytes
            )
        }
        inventory[Inventory.state] = try MemoryFile.create(Inventory.state, growth: .allowed)
        if hardware.console {
            inventory[Inventory.consoleLog] = try MemoryFile.create(Inventory.consoleLog, growth: .allowed)
            inventory[Inventory.consoleInput] = try Pipe.create()
        }
        if hardware.single.agent {
            (inventory[Inventory.agent], inventory[Inventory.agentPeer]) = try UnixSocket.pair()
        }
        ledgerFile = file
        ledger = Ledger(guest: name, phase: .starting, generation: generation, hardware: hardware)
        ledger?.restarts = restarts
        files.note(in: &ledger)
        try record { _ in }
        try await storeInventory()
    }

    func startVMProcess() async throws {
        // One that could not be ended after the last operation still has the disks open.
        try await retirePrevious()
        try await endNext()
        guard let ledger, let facts else { return }
        var confinement = try await confinement(accelerator: ledger.hardware.accelerator)
        let generation = ledger.generation + 1
        let hardware = nextHardware(ledger)
        try checkLock(hardware)
        let images = try await openImages(of: hardware)
        let (ourMonitor, theirMonitor) = try UnixSocket.pair()
        inventory[Inventory.qmp(generation)] = ourMonitor
        // A guest that an older supervisor has started has none.
        if hardware.console, inventory[Inventory.consoleInput] == nil {
            inventory[Inventory.consoleInput] = try Pipe.create()
        }
        do {
            try await createQueues(hardware, generation: generation, isSpare: ledger.isIncoming)
            try await storeInventory()
        } catch {
            try? await unstoreEnds(of: generation)
            throw error
        }
        // It uses the first only. The others it keeps, for a supervisor that finds them lost.
        var inherited = [theirMonitor, ourMonitor]
        if let ledgerFile { inherited.append(try ledgerFile.readOnly()) }
        if let state = inventory[Inventory.state] { inherited.append(state) }
        let (log, input) = (inventory[Inventory.consoleLog], inventory[Inventory.consoleInput])
        inherited += [log, input].compactMap { $0 }
        var ram: [String: Int32] = [:]
        for block in hardware.memoryBlocks {
            guard let file = inventory[Inventory.ram(block.id)] else { continue }
            ram[block.id] = file.raw
            inherited.append(file)
        }
        let files = PinnedFile.allCases.compactMap { file in inventory[Inventory.file(file)].map { (file, $0) } }
        let credentials = (hardware.credentials ?? []).compactMap { credential in
            inventory[Inventory.credential(credential.id)].map { (credential.id, $0) }
        }
        inherited += files.map(\.1) + credentials.map(\.1)
        let sockets = inventory.sockets
        inherited += sockets.map(\.descriptor)
        let tpm = try await startTPM(hardware, confinement, isIncoming: ledger.isIncoming)
        if let tpm { inherited.append(tpm.channel) }
        let networks = try networkDescriptors(hardware, generation: generation)
        inherited += networks.descriptors
        // A pipe is its maker's only, and the VM process opens it anew for each change of its console.
        try input?.allowReopening()
        inherited += images.files
        var descriptors = VMProcessDescriptors(
            ram: ram,
            qmp: theirMonitor.raw,
            consoleLog: log?.raw,
            files: Dictionary(uniqueKeysWithValues: files.map { ($0, $1.raw) }),
            agent: inventory[Inventory.agentPeer]?.raw,
            credentials: Dictionary(uniqueKeysWithValues: credentials.map { ($0, $1.raw) }),
            networks: networks.numbers
        )
        descriptors.images = images.sets
        descriptors.tpm = tpm?.channel.raw
        let arguments = QEMUCommandLine.arguments(
            guest: name,
            generation: generation,
            hardware: hardware,
            descriptors: descriptors,
            version: facts.version,
            remedies: ledger.remedies(for: facts.version).map(\.remedy),
            incoming: ledger.isIncoming,
            copyOnWrite: isRehearsing
        )
        confinement?.hasNetwork = QEMUCommandLine.needsNetwork(arguments)
        confinement?.locksMemory = hardware.isLocked
        let output = try ProcessOutput()
        let program = Program(
            path: facts.path,
            arguments: arguments,
            environment: QEMUProbe.environment,
            inherited: inherited,
            output: output.file,
            confinement: confinement
        )
        let calls = calls
        let process: GatedProcess
        do {
            process = try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) { try calls.start(program) }
        } catch {
            try? await unstoreEnds(of: generation)
            throw Lifecycle.Failure("VM process \(generation) can't be started: \(error)")
        }
        var record = VMProcessRecord(
            generation: generation,
            pid: process.handle.pid,
            startTime: process.handle.startTime,
            qemu: facts.path,
            version: facts.version,
            package: facts.package,
            hasFileMigration: facts.hasFileMigration,
            monitor: ourMonitor.raw,
            console: log.map { ConsoleDescriptors(log: $0.raw, input: input?.raw) },
            sockets: Dictionary(uniqueKeysWithValues: sockets.map { ($0.name, $0.descriptor.raw) }),
            taps: tapNumbers(generation)
        )
        record.tpm = tpm?.emulator.record
        let vm = attach(record, handle: process.handle, monitor: ourMonitor, output: output, facts: facts)
        vm.tpm = tpm?.emulator
        vm.hardware = hardware
        vm.isThrowAway = isRehearsing
        next = vm
        try self.record {
            $0.generation = generation
            $0.other = record
        }
        do {
            try await startScope(for: vm)
            if let tpm {
                try await tpm.process.letThrough(path: TPMEmulator.program, loop: loop, deadline: timeouts.prepare)
            }
            try await process.letThrough(path: facts.path, loop: loop, deadline: timeouts.prepare)
        } catch {
            let reason = await explain(error, vm)
            await removeScope(of: vm)
            throw Lifecycle.Failure("VM process \(generation) can't be started: \(reason)")
        }
    }

    /// systemd does not always notice when a process dies while it is moved into its scope (252).
    private func removeScope(of vm: VMProcess) async {
        let scope = scopeName(vm.generation)
        try? await kill(vm)
        // Where it has noticed, there is none.
        try? await BlockingCalls.run { try Manager.stopUnit(scope, deadline: GuestSupervisor.managerDeadline) }
    }

    private func startScope(for vm: VMProcess) async throws {
        // A guest that is taken up to be powered off ends with this unit, and systemd starts nothing during a shutdown.
        if isStopWanted { return }
        // What backs an image may be a block device, which the guest's user may have been given the right to read.
        var devices = [("block-*", "r")]
        if vm.hardware?.accelerator == .kvm { devices.append((GuestUsers.kvm, "rw")) }
        let request = Manager.ScopeRequest(
            name: scopeName(vm.generation),
            description: "Perdure guest \(name), VM process \(vm.generation)",
            slice: GuestName.slice(for: name),
            before: unit,
            pids: [vm.record.pid] + (vm.tpm.map { [$0.handle.pid] } ?? []),
            // A user's manager has no say in that.
            devices: geteuid() == 0 ? devices : nil
        )
        let deadline = timeouts.prepare
        try await BlockingCalls.run { try Manager.startScope(request, deadline: deadline) }
    }

    nonisolated func scopeName(_ generation: Int) -> String { GuestScopes.name(guest: name, generation: generation) }

    /// Takes a VM process into care: its monitor and its end are watched from here on.
    func attach(
        _ record: VMProcessRecord,
        handle: ProcessHandle,
        monitor: Descriptor,
        output: ProcessOutput?,
        facts: QEMUFacts?
    ) -> VMProcess {
        let generation = record.generation
        let qmp = QMPClient(socket: monitor, loop: loop) { [weak self] event in
            self?.assumeIsolated { $0.received(event, from: generation) }
        }
        let vm = VMProcess(record: record, handle: handle, qmp: qmp, output: output, facts: facts)
        watchEnd(of: vm)
        return vm
    }

    func connectNext() async throws {
        guard let vm = next else { return }
        do {
            try await vm.qmp.negotiate(deadline: timeouts.prepare)
            let isIncoming = ledger?.isIncoming == true
            // Images become active with the guest's continuation, which a paused one does without; and older QEMUs crash
            // when they are to save one whose images are not.
            let activates = ledger?.isPaused == true && vm.record.version < QEMUVersion(major: 10, minor: 0)
            let capabilities: [MigrationCapability] =
                isIncoming && !activates ? GuestSupervisor.loadCapabilities : [.ignoreShared, .events]
            try await vm.qmp.execute(SetMigrationCapabilities(capabilities), deadline: GuestSupervisor.answerDeadline)
            if isIncoming { try await parkNetworks(of: vm) }
            try await noteMemoryMap(of: vm)
        } catch {
            throw Lifecycle.Failure(await explain(error, vm))
        }
    }

    /// The failure together with what the VM process left behind, if it was its end.
    func explain(_ error: any Error, _ vm: VMProcess) async -> String {
        var text = "\(error)"
        if case QMPError.disconnected = error, await hasEnded(vm, within: .seconds(2)), let end = vm.end {
            text = "\(vm.title) \(end)"
        }
        if let words = vm.output?.lastWords { text += "; QEMU said: \(words)" }
        if let words = vm.tpm?.output?.lastWords { text += "; swtpm said: \(words)" }
        return text
    }
}
