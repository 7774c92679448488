import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Systemd

/// Taking over a VM process that others have started. It is the guest's, of generation 0, from the moment in which the
/// ledger says so; what follows is a handover like any other. Until that has succeeded, whatever goes wrong leaves the
/// process to those who started it, and the guest runs on there.
extension GuestSupervisor {
    /// How long 'perdure adopt' may take to say what it offers.
    private static let offerDeadline = Duration.seconds(10)

    /// Makes the guest's what 'perdure adopt' offers. Nothing of the process is changed.
    func takeOver(_ link: AdoptionLink) async throws {
        let offer = try await link.offer(loop: loop, deadline: GuestSupervisor.offerDeadline)
        let machine = offer.machine
        try await readDefinition()
        try await probeQEMU()
        guard let facts else { throw Lifecycle.Failure("QEMU does not say what it can do") }
        try checkRAM(of: offer)
        var hardware = machine.hardware
        hardware.machine = try facts.pinnedMachine(hardware.machine)
        hardware.cpuModel = try facts.pinnedCPUModel(hardware.cpuModel)
        let record = VMProcessRecord(
            generation: 0,
            pid: machine.pid,
            startTime: machine.startTime,
            qemu: machine.qemu,
            version: machine.version,
            package: machine.package,
            hasFileMigration: machine.hasFileMigration,
            foreign: ForeignState(capabilities: machine.capabilities)
        )
        let files = try await pinnedFiles(hardware, facts)
        let file = try LedgerFile()
        inventory[Inventory.ledger] = file.file
        inventory[Inventory.ram(hardware.ram[0].id)] = offer.ram
        inventory[Inventory.qmp(0)] = offer.monitor
        inventory[Inventory.maps(0)] = offer.maps
        inventory[Inventory.state] = try MemoryFile.create(Inventory.state, growth: .allowed)
        for (name, contents) in files.contents { inventory[name] = contents }
        if hardware.console {
            inventory[Inventory.consoleLog] = try MemoryFile.create(Inventory.consoleLog, growth: .allowed)
            inventory[Inventory.consoleInput] = try Pipe.create()
        }
        ledgerFile = file
        ledger = Ledger(guest: name, phase: .running, generation: 0, hardware: hardware)
        files.note(in: &ledger)
        // One that was itself handed a guest is refused for its command line.
        ledger?.bootedIn = machine.version
        // The handover begins as it does after a restart.
        ledger?.isRestart = true
        try self.record { $0.setCurrent(record) }
        try await storeInventory()
    }

    /// That this is what the process has for RAM, nobody is believed.
    private func checkRAM(of offer: AdoptionLink.Offer) throws {
        let machine = offer.machine
        let handle = try ProcessHandle(pid: machine.pid, startTime: machine.startTime)
        guard try UnixSocket.peer(offer.monitor).pid == handle.pid else {
            throw Lifecycle.Failure("the monitor is not that of process \(handle.pid)")
        }
        guard machine.hardware.isPlausible, machine.hardware.ram.count == 1 else {
            throw Lifecycle.Failure("what is offered is no machine that a definition can have")
        }
        let (block, identity) = (machine.hardware.ram[0], try offer.ram.identity())
        let wanted = block.size
        guard try Mappings.isFile(offer.maps, of: handle) else {
            throw Lifecycle.Failure("what is offered does not show what process \(handle.pid) maps")
        }
        let mapped = try Mappings(reading: offer.maps).length(of: identity, shared: true)
        let isFixed = block.file != nil || MemoryFile.isSealed(offer.ram)
        guard try offer.ram.size() == wanted, mapped == wanted, isFixed, handle.isRunning else {
            throw Lifecycle.Failure(
                "process \(handle.pid) maps \(mapped >> 20) MiB of it, not its \(wanted >> 20) MiB of RAM"
            )
        }
    }

    /// Tells 'perdure adopt' what has come of it, and lets go of what was not taken over.
    func concludeAdoption() {
        guard case .standing(let standing) = lifecycle.state else { return }
        let isForeign = current?.record.isForeign == true
        guard adoption != nil || isForeign, !isLettingGo else { return }
        switch standing {
        case .running where isForeign:
            isLettingGo = true
            loop.spawn { await letGo(handoverProblem ?? "the handover was cut off") }
        case .unclear(let reason) where ledger == nil || ledger?.generation == 0:
            isLettingGo = true
            loop.spawn { await letGo(reason) }
        default:
            let isTaken = standing == .running
            adoption?.tell(AdoptionLink.Verdict(reason: isTaken ? nil : "there was a guest already: \(summary)"))
            adoption = nil
        }
    }

    /// Everything is as it was before, and this supervisor ends.
    private func letGo(_ reason: String) async {
        if let vm = current, let foreign = vm.record.foreign {
            let deadline = GuestSupervisor.answerDeadline
            let capabilities = foreign.capabilities.map { MigrationCapability($0.key, $0.value) }
            _ = try? await vm.qmp.execute(SetMigrationCapabilities(capabilities), deadline: deadline)
            await vm.forgetState()
            await vm.qmp.close()
            vm.isEnding = true
        }
        current = nil
        journal(.notTakenOver(reason))
        do {
            try await unstore(inventory.names)
        } catch {
            journal(.notFetched("the descriptor store keeps what it has of it: \(error)"))
        }
        adoption?.tell(AdoptionLink.Verdict(reason: reason))
        leave(.failure)
    }
}
