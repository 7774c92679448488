import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Systemd

/// Finding out what a previous supervisor has left.
extension GuestSupervisor {
    /// What is to be done, and whether the unit is being restarted.
    func recover() async -> (Recovery.Decision, isRestart: Bool) {
        var evidence = Recovery.Evidence()
        do {
            for entry in try DescriptorStore.receive() {
                if let first = inventory[entry.name],
                    try !first.identity().isSameFile(as: entry.descriptor.identity())
                {
                    return (.unclear(reason: "the descriptor store holds two of '\(entry.name)'"), false)
                }
                inventory[entry.name] = entry.descriptor
            }
        } catch {
            return (.unclear(reason: "the descriptor store can't be read: \(error)"), false)
        }
        evidence.hasOtherDescriptors = inventory.names.contains { $0 != Inventory.ledger }
        await fetchLedger()
        if inventory.isEmpty, let adoption {
            do {
                try await takeOver(adoption)
            } catch {
                return (.unclear(reason: "\(error)"), false)
            }
        }
        if let file = inventory[Inventory.ledger] {
            do {
                let (ledgerFile, ledger) = try LedgerFile.open(file)
                (self.ledgerFile, self.ledger) = (ledgerFile, ledger)
                (generation, restarts) = (ledger.generation, ledger.restarts ?? [])
                evidence.ledger = .valid(ledger.phase)
            } catch {
                evidence.ledger = .unreadable(reason: "\(error)")
            }
        }
        if let ledger {
            await fetchLost(ledger)
            evidence.ramProblems = ramProblems(ledger)
            evidence.hasCompleteState =
                ledger.savedBytes != nil && ledger.savedBytes == (try? inventory[Inventory.state]?.size())
            await attach(ledger)
            if let current { evidence.current = await look(at: current) }
            // Whatever has continued it, it is not paused any more.
            if evidence.current == .running, ledger.isPaused == true { try? record { $0.isPaused = nil } }
            evidence.isPausedOnPurpose = self.ledger?.isPaused == true
            lifecycle.isPaused = evidence.isPausedOnPurpose
            if let previous, ledger.phase == .committed { evidence.previous = await look(at: previous) }
        }
        do {
            evidence.unknownScopes = try await unknownScopes()
        } catch {
            return (.unclear(reason: "systemd does not say which VM processes there are: \(error)"), false)
        }
        let decision = Recovery.decide(evidence)
        let isRestart = ledger?.isRestart ?? false
        do {
            try await prepare(for: decision)
        } catch {
            return (.unclear(reason: "what was found can't be carried on: \(error)"), false)
        }
        return (decision, isRestart)
    }

    private func ramProblems(_ ledger: Ledger) -> [String] {
        var problems: [String] = []
        for block in ledger.hardware.memoryBlocks {
            let name = Inventory.ram(block.id)
            guard let file = inventory[name] else {
                problems.append("'\(name)' is not in the descriptor store any more")
                continue
            }
            if (try? file.size()) != block.size || block.file == nil && !MemoryFile.isSealed(file) {
                let size = "\(block.size >> 20) MiB"
                problems.append("'\(name)' in the descriptor store is not the \(size) that the guest has")
            }
        }
        if inventory[Inventory.state] == nil { problems.append("'vmstate' is not in the descriptor store any more") }
        return problems
    }

    /// Finds the VM processes that the ledger names, where they live.
    private func attach(_ ledger: Ledger) async {
        func find(_ record: VMProcessRecord?) -> VMProcess? {
            guard let record else { return nil }
            let tpm = record.tpm.flatMap(TPMEmulator.init(record:))
            guard let handle = try? ProcessHandle(pid: record.pid, startTime: record.startTime), handle.isRunning
            else {
                // A QEMU that runs without its connection needs its TPM all the same.
                try? tpm?.handle.kill()
                return nil
            }
            guard let monitor = inventory[Inventory.qmp(record.generation)] else { return nil }
            let vm = attach(record, handle: handle, monitor: monitor, output: nil, facts: nil)
            vm.mayDiffer = true
            vm.tpm = tpm
            // Maybe the guest is paused: nothing waits for it.
            loop.spawn { _ = try? await view(of: vm) }
            return vm
        }
        current = find(ledger.current)
        let other = find(ledger.other)
        switch ledger.phase {
        case .committed, .continuing, .waiting: previous = other
        case .starting, .running, .saving, .loading, .saved, .stopping, .lost: next = other
        }
    }

    private func look(at vm: VMProcess) async -> Recovery.VMProcess {
        do {
            try await vm.qmp.negotiate(deadline: GuestSupervisor.answerDeadline)
            let status = try await vm.qmp.execute(QueryStatus(), deadline: GuestSupervisor.answerDeadline)
            if status.status.canBeContinued { return .paused }
            switch status.status {
            case .inmigrate: return .incoming
            case .shutdown:
                vm.isPoweredOff = true
                return .poweredOff
            default: return .running
            }
        } catch {
            return vm.end == nil && vm.handle.isRunning ? .silent : .absent
        }
    }

    /// Scopes of the guest with processes that the ledger does not name. Empty ones are removed.
    private func unknownScopes() async throws -> [String] {
        let name = name
        let known = [current, next, previous].compactMap { $0?.record.generation }.map(scopeName)
        return try await BlockingCalls.run {
            let scopes = try GuestScopes.living(guest: name, deadline: GuestSupervisor.managerDeadline)
            let unknown = scopes.filter { !known.contains($0.key) }
            // systemd does not always notice when a process dies while it is moved into its scope (252).
            for scope in unknown.filter(\.value.isEmpty).keys {
                // One that has just gone by itself is as good.
                try? Manager.stopUnit(scope, deadline: GuestSupervisor.managerDeadline)
            }
            return unknown.filter { !$0.value.isEmpty }.keys.sorted()
        }
    }

    /// Makes the finds fit the decision.
    private func prepare(for decision: Recovery.Decision) async throws {
        switch decision {
        case .unclear: return
        case .lost: return await readDefinitionQuietly()
        case .start:
            if ledger == nil { break }
            try await emptyStore()
            try await forgetGuest()
        case .adopt: try await endNext()
        case .remainSaved(hasVMProcess: false):
            // A VM process that has begun to load, or never will, is of no use any more.
            for vm in [current, next, previous].compactMap({ $0 }) { try await kill(vm) }
            (current, next, previous) = (nil, nil, nil)
            try record {
                $0.phase = .saved
                $0.current = nil
                $0.other = nil
            }
        case .remainSaved(hasVMProcess: true): try await endNext()
        case .remainWaiting: try await retirePrevious()
        case .rollBack, .conclude: if current == nil { try takeBackCommit() }
        case .finishHandover, .continueStop: break
        }
        await readDefinitionQuietly()
        trimConsole()
        if ledger != nil { try record { $0.isRestart = false } }
        try await removeStrangers()
    }

    /// A definition that has become unreadable does not concern a guest that runs; it is reported when it is needed.
    private func readDefinitionQuietly() async {
        definition = try? await loadDefinition().0
    }

    /// Ends of sockets to VM processes that are no more.
    private func removeStrangers() async throws {
        guard let ledger else { return }
        var expected: Set = [
            Inventory.ledger, Inventory.state, Inventory.consoleLog, Inventory.consoleInput,
        ]
        expected.formUnion(ledger.hardware.memoryBlocks.map { Inventory.ram($0.id) })
        expected.formUnion(ledger.files ?? [])
        if let block = ledger.plugging { expected.insert(Inventory.ram(block.id)) }
        if ledger.hardware.single.agent { expected.formUnion([Inventory.agent, Inventory.agentPeer]) }
        for vm in [current, next, previous].compactMap({ $0 }) {
            expected.formUnion(inventory.ends(of: vm.generation))
        }
        if let current { await settleNetworks(on: current) }
        try await unstore(inventory.names.filter { !expected.contains($0) })
    }
}
