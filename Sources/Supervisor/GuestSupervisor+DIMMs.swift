import GuestDefinition
import Lifecycle
import Linux
import QMP
import Varlink

/// Memory that a guest gets and gives back while it runs. Each piece is a memory file in the store, like the RAM that
/// the guest was started with, and a DIMM that every later VM process has from its start.
///
/// What a supervisor that dies meanwhile leaves half done, the next one sees by asking QEMU what is plugged.
extension GuestSupervisor {
    /// What a person has asked for.
    enum MemoryChange {
        case add(RAMBlock)
        case remove(String)
    }

    /// How long a guest may take to give memory up before its supervisor has other things to do. What it gives up later
    /// is noticed then.
    private static let unplugDeadline = Duration.seconds(15)

    /// Descriptor sets below are for other things.
    private static let firstDescriptorSet = 16

    private static func device(_ id: String) -> String { "dimm.\(id)" }
    private static func object(_ id: String) -> String { "/objects/\(Inventory.ram(id))" }

    /// Asks for a change on a person's behalf; `reply` is called once.
    func request(_ change: MemoryChange, reply: @escaping (Lifecycle.Reply) -> Void) {
        if case .standing(.running) = lifecycle.state {
            do {
                try checkMemoryChange(change)
            } catch {
                return reply(.refused(error))
            }
            requestedMemory = change
        }
        request(.changeMemory, qemu: nil, reply: reply)
    }

    /// What speaks against the change, before anything is done.
    private func checkMemoryChange(_ change: MemoryChange) throws(Refusal) {
        guard let hardware = ledger?.hardware else { throw Refusal("the guest is not running", isNotRunning: true) }
        switch change {
        case .add(let block): try check(adding: block, to: hardware)
        case .remove(let id):
            if hardware.dimms.contains(where: { $0.id == id }) { return }
            if hardware.ram.contains(where: { $0.id == id }) {
                throw Refusal("'\(id)' is RAM that the guest was started with; only what was added can be removed")
            }
            let ids = hardware.dimms.map(\.id)
            throw Refusal(
                "the guest has no DIMM '\(id)'; \(ids.isEmpty ? "it has none" : "it has \(ids.joined(separator: ", "))")"
            )
        }
    }

    private func check(adding block: RAMBlock, to hardware: GuestHardware) throws(Refusal) {
        guard let room = hardware.room else {
            throw Refusal(
                "the guest was started without room for DIMMs; set MaximumSize= in [Memory], stop it and start it anew"
            )
        }
        if let problem = DIMM.problem(withID: block.id) { throw Refusal(problem) }
        if hardware.memoryBlocks.contains(where: { $0.id == block.id }) {
            throw Refusal("the guest has memory '\(block.id)' already; give the DIMM another ID")
        }
        guard block.size > 0, block.size.isMultiple(of: DIMM.unit) else {
            throw Refusal(
                "a DIMM has a multiple of \(DIMM.unit >> 20)M, the size of the pieces that Linux takes memory in"
            )
        }
        guard hardware.dimms.count < room.slots else {
            throw Refusal(
                "all \(room.slots) slots have a DIMM; a guest gets more by Slots= in [Memory] when it is started"
            )
        }
        let total = hardware.memoryBlocks.reduce(0) { $0 + $1.size }
        let (sum, overflow) = total.addingReportingOverflow(block.size)
        guard !overflow, sum <= room.maximumSize else {
            throw Refusal(
                "the guest has \(total >> 20)M, and may have \(room.maximumSize >> 20)M in all by MaximumSize= in [Memory]"
            )
        }
        do {
            try checkHostMemory([block], "remove guests or DIMMs that you can do without")
        } catch {
            throw Refusal("\(error)")
        }
    }

    func changeMemory() async throws {
        guard let change = requestedMemory else { return }
        requestedMemory = nil
        guard let current else { throw Lifecycle.Failure("the guest has no VM process") }
        try await reconcileMemory()
        switch change {
        case .add(let block): try await plug(block, into: current)
        case .remove(let id): try await unplug(id, from: current)
        }
    }

    // MARK: Adding

    private func plug(_ block: RAMBlock, into vm: VMProcess) async throws {
        guard let hardware = ledger?.hardware else { return }
        let slot = (0...).first { slot in !hardware.dimms.contains { $0.slot == slot } } ?? 0
        let name = Inventory.ram(block.id)
        guard inventory[name] == nil else {
            throw Lifecycle.Failure("memory '\(block.id)' is just being given back; try again")
        }
        let file = try MemoryFile.create(name, size: block.size, growth: .fixed)
        // From here on it is known that it may be plugged, whoever looks.
        try record { $0.plugging = block }
        inventory[name] = file
        do {
            try await storeInventory()
            try await plug(block, file, slot, into: vm)
        } catch {
            // It is known afterwards whether it is there: QEMU may have done what its answer did not come of.
            try? await reconcileMemory()
            throw Lifecycle.Failure("memory '\(block.id)' can't be added: \(await explain(error, vm))")
        }
        try await reconcileMemory()
        guard ledger?.hardware.dimms.contains(where: { $0.id == block.id }) == true else {
            throw Lifecycle.Failure("QEMU does not list memory '\(block.id)', which it has just been given")
        }
    }

    private func plug(_ block: RAMBlock, _ file: Descriptor, _ slot: Int, into vm: VMProcess) async throws {
        let deadline = GuestSupervisor.answerDeadline
        let set = GuestSupervisor.firstDescriptorSet + slot
        _ = try? await vm.qmp.execute(RemoveDescriptors(set: set), deadline: deadline)
        let added = try await vm.qmp.execute(PassDescriptor(set: set), passing: file, deadline: deadline)
        try await vm.qmp.execute(
            AddMemoryBackend(id: Inventory.ram(block.id), size: block.size, path: "/proc/self/fd/\(added.fd)"),
            deadline: deadline
        )
        // The backend has a descriptor of its own.
        _ = try? await vm.qmp.execute(RemoveDescriptors(set: set), deadline: deadline)
        let device = GuestSupervisor.device(block.id)
        try await vm.qmp.execute(
            AddDIMM(id: device, backend: Inventory.ram(block.id), slot: slot),
            deadline: deadline
        )
    }

    // MARK: Removing

    private func unplug(_ id: String, from vm: VMProcess) async throws {
        vm.unplugged.remove(id)
        try await vm.qmp.execute(RemoveDevice(id: GuestSupervisor.device(id)), deadline: GuestSupervisor.answerDeadline)
        // It is up to the guest now.
        let deadline = ContinuousClock.now + GuestSupervisor.unplugDeadline
        while !vm.unplugged.contains(id), vm.end == nil, .now < deadline { await memoryEventOrTimer(deadline - .now) }
        try await reconcileMemory()
        guard ledger?.hardware.dimms.contains(where: { $0.id == id }) == true else { return }
        throw Lifecycle.Failure(
            "the guest has not given '\(id)' up so far, which it can't where the memory is in use for good; "
                + "where it does later, 'perdure memory show' says so"
        )
    }

    private func memoryEventOrTimer(_ delay: Duration) async {
        let timer = loop.after(delay) { [weak self] in self?.assumeIsolated { $0.wakeMemoryWaiter() } }
        await withCheckedContinuation { memoryWaiter = $0 }
        timer.cancel()
    }

    private func wakeMemoryWaiter() {
        memoryWaiter?.resume()
        memoryWaiter = nil
    }

    /// A DIMM has left the guest.
    func noteUnplugged(_ device: String, from vm: VMProcess) {
        let prefix = GuestSupervisor.device("")
        guard device.hasPrefix(prefix) else { return }
        vm.unplugged.insert(String(device.dropFirst(prefix.count)))
        wakeMemoryWaiter()
        // Where something is being done to the guest, that looks for it, or what comes after.
        if vm === current { reconcileMemoryAtRest() }
    }

    // MARK: What there is

    /// Makes ledger and store have what is plugged into the guest. Part of the operation under way.
    func reconcileMemory() async throws {
        guard let vm = current, let ledger, ledger.hardware.room != nil else { return }
        guard ledger.plugging != nil || !vm.unplugged.isEmpty || vm.mayDiffer else { return }
        let plugged = try await vm.qmp.execute(QueryMemoryDevices(), deadline: GuestSupervisor.answerDeadline)
        await release(take(plugged, of: vm), of: vm)
    }

    /// The same where nothing is being done to the guest, nor has begun when QEMU has answered.
    func reconcileMemoryAtRest() {
        guard let vm = current, case .standing(.running) = lifecycle.state, ledger?.hardware.room != nil else { return }
        loop.spawn {
            let plugged = try? await vm.qmp.execute(QueryMemoryDevices(), deadline: GuestSupervisor.answerDeadline)
            guard let plugged, vm === current, case .standing(.running) = lifecycle.state else { return }
            await release(take(plugged, of: vm), of: vm)
        }
    }

    /// Returns the IDs of what is not plugged any more, or never was.
    private func take(_ plugged: [QueryMemoryDevices.Device], of vm: VMProcess) -> [String] {
        guard let ledger else { return [] }
        let known = ledger.hardware.dimms
        let blocks = known.map { RAMBlock(id: $0.id, size: $0.size) } + [ledger.plugging].compactMap { $0 }
        let dimms: [DIMM] = blocks.compactMap { block in
            guard let device = plugged.first(where: { $0.data.backend == GuestSupervisor.object(block.id) }) else {
                return nil
            }
            return DIMM(id: block.id, size: block.size, slot: device.data.slot, address: device.data.address)
        }
        let gone = blocks.map(\.id).filter { id in !dimms.contains { $0.id == id } }
        do {
            try record {
                $0.plugging = nil
                $0.hardware.dimms = dimms
                guard let map = $0.memoryMap else { return }
                $0.memoryMap =
                    map.filter { range in ledger.hardware.ram.contains { $0.id == range.block } }
                    + dimms.map { GuestMemoryRange(address: $0.address, length: $0.size, block: $0.id, offset: 0) }
            }
        } catch {
            // It is looked for again.
            return []
        }
        vm.unplugged = []
        vm.mayDiffer = false
        for dimm in dimms where !known.contains(where: { $0.id == dimm.id }) { journal(.memoryAdded(dimm)) }
        for id in gone where known.contains(where: { $0.id == id }) { journal(.memoryRemoved(id)) }
        return gone
    }

    private func release(_ gone: [String], of vm: VMProcess) async {
        for id in gone {
            let backend = RemoveObject(id: Inventory.ram(id))
            _ = try? await vm.qmp.execute(backend, deadline: GuestSupervisor.answerDeadline)
        }
        try? await unstore(gone.map(Inventory.ram))
    }
}
