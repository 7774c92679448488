import Glibc
import GuestDefinition
import Lifecycle
import Linux
import Systemd

/// Getting back from VM processes what systemd has lost: they have all of it open, too.
extension GuestSupervisor {
    /// Why what a VM process has is not taken for the guest's.
    private struct Doubt: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    /// Fetches the ledger, where the store has none and exactly one process is in all of the guest's scopes: of two,
    /// one may be what an interrupted handover has left, and nothing else says which.
    func fetchLedger() async {
        guard inventory[Inventory.ledger] == nil else { return }
        let name = name
        let scopes = try? await BlockingCalls.run {
            try GuestScopes.living(guest: name, deadline: GuestSupervisor.managerDeadline)
        }
        let living = (scopes ?? [:]).filter { !$0.value.isEmpty }
        guard let (scope, processes) = living.first, living.count == 1, processes.count == 1 else { return }
        do {
            let handle = try ProcessHandle(pid: processes[0])
            let source = try await source(handle, names: [Inventory.ledger])
            guard let file = try fetchFile(Inventory.ledger, from: source) else { return }
            let ledger = try LedgerFile.open(file).1
            let record = [ledger.current, ledger.other].compactMap { $0 }.first { record in
                record.pid == handle.pid && record.startTime == handle.startTime
            }
            guard ledger.guest == name, let record, scopeName(record.generation) == scope else {
                throw Doubt("the ledger that process \(handle.pid) in '\(scope)' has is not of that process")
            }
            inventory[Inventory.ledger] = file
            journal(.fetched([Inventory.ledger], from: "process \(handle.pid) in '\(scope)'"))
        } catch {
            journal(.notFetched("\(error)"))
        }
    }

    /// Fetches everything that the ledger says there must be and the store does not have.
    func fetchLost(_ ledger: Ledger) async {
        var files = [Inventory.state] + ledger.hardware.memoryBlocks.map { Inventory.ram($0.id) }
        if ledger.hardware.console { files.append(Inventory.consoleLog) }
        let pinned = ledger.files ?? []
        files += pinned
        let sockets = ledger.hardware.single.agent ? [Inventory.agent, Inventory.agentPeer] : []
        for record in [ledger.current, ledger.other].compactMap({ $0 }) {
            guard let handle = try? ProcessHandle(pid: record.pid, startTime: record.startTime) else { continue }
            var fetched: [String] = []
            let monitor = Inventory.qmp(record.generation)
            let taps = record.taps ?? [:]
            let names = files + sockets + [monitor, Inventory.consoleInput] + taps.keys.sorted()
            let lost = names.filter { inventory[$0] == nil }
            if lost.isEmpty { continue }
            var numbers = taps.merging(record.sockets ?? [:]) { first, _ in first }
            numbers[monitor] = record.monitor
            numbers[Inventory.consoleInput] = record.console?.input
            let source: Source
            do {
                source = try await self.source(handle, names: lost, numbers: lost.compactMap { numbers[$0] })
            } catch {
                journal(.notFetched("\(error)"))
                continue
            }
            for name in lost {
                do {
                    let found =
                        switch name {
                        case monitor, Inventory.agent, Inventory.agentPeer: try fetchSocket(numbers[name], source)
                        case Inventory.consoleInput: try fetchConsoleInput(numbers[name], source)
                        case _ where taps[name] != nil: try fetchTap(numbers[name], source)
                        default: try fetchFile(name, from: source)
                        }
                    guard let found else { continue }
                    if pinned.contains(name), !MemoryFile.isReadOnly(found) {
                        throw Doubt("what process \(handle.pid) has of that name can be written to")
                    }
                    inventory[name] = found
                    fetched.append(name)
                } catch {
                    journal(.notFetched("'\(name)': \(error)"))
                }
            }
            if !fetched.isEmpty {
                journal(.fetched(fetched, from: "VM process \(record.generation) (pid \(record.pid))"))
            }
        }
    }

    /// A process, what there is to be seen of it, and what was asked for of its descriptors.
    private struct Source {
        let process: ProcessHandle
        let view: ProcessView
        let descriptors: FetchedDescriptors

        var title: String { "process \(process.pid)" }

        func files(_ name: String) throws -> [Descriptor] {
            try (view.memoryFiles[name] ?? []).map { try descriptors.descriptor($0) }
        }
    }

    /// - Parameters:
    ///   - names: of memory files.
    ///   - numbers: of other descriptors.
    private func source(_ process: ProcessHandle, names: [String], numbers: [Int32] = []) async throws -> Source {
        let calls = calls
        return try await BlockingCalls.run {
            let view = try calls.look(at: process)
            let files = names.flatMap { (view.memoryFiles[$0] ?? []) }
            return Source(process: process, view: view, descriptors: try calls.fetch(files + numbers, from: process))
        }
    }

    private func fetchSocket(_ number: Int32?, _ source: Source) throws -> Descriptor? {
        guard let number else { return nil }
        let socket = try source.descriptors.descriptor(number)
        guard (try? UnixSocket.peerUser(socket)) != nil else {
            throw Doubt("descriptor \(number) of \(source.title) is no connected socket")
        }
        return socket
    }

    private func fetchConsoleInput(_ number: Int32?, _ source: Source) throws -> Descriptor? {
        guard let number else { return nil }
        let pipe = try source.descriptors.descriptor(number)
        guard Pipe.isPipe(pipe) else { throw Doubt("descriptor \(number) of \(source.title) is no pipe") }
        return pipe
    }

    private func fetchTap(_ number: Int32?, _ source: Source) throws -> Descriptor? {
        guard let number else { return nil }
        let queue = try source.descriptors.descriptor(number)
        guard TapQueue.interface(of: queue) != nil else {
            throw Doubt("descriptor \(number) of \(source.title) is no queue of a network")
        }
        return queue
    }

    /// A memory file that the process has open; nil where it has none of that name.
    private func fetchFile(_ name: String, from source: Source) throws -> Descriptor? {
        let files = try source.files(name)
        guard let first = files.first else { return nil }
        let identity = try first.identity()
        guard try files.allSatisfy({ try $0.identity().isSameFile(as: identity) }) else {
            throw Doubt("\(source.title) has several files of that name")
        }
        // A VM process could make one of that name by itself, but not as us where it runs as somebody else.
        guard identity.owner == geteuid() else { throw Doubt("\(source.title) has a file of another user") }
        if name.hasPrefix(Inventory.ram("")) {
            let mapped = try Mappings(reading: source.view.maps).length(of: identity, shared: true)
            guard mapped == (try first.size()) else {
                throw Doubt("\(source.title) does not use all of it as shared memory")
            }
        }
        // What the VM process has may be for reading or appending only.
        return try first.reopened(O_RDWR)
    }

    /// What is to be found out of a process: once, it changes with nothing that is asked of it.
    func view(of vm: VMProcess) async throws -> ProcessView {
        if let view = vm.view { return view }
        if vm.record.isForeign {
            let view = try foreignView(of: vm)
            vm.view = view
            return view
        }
        let (calls, process) = (calls, vm.handle)
        let view = try await BlockingCalls.run(on: loop, deadline: GuestSupervisor.managerDeadline) {
            try calls.look(at: process)
        }
        vm.view = view
        if vm.output == nil { vm.output = view.output.map(ProcessOutput.init) }
        if let tpm = vm.tpm, tpm.output == nil {
            let seen = try? await BlockingCalls.run { try calls.look(at: tpm.handle) }
            if vm.tpm === tpm {
                vm.tpm = TPMEmulator(handle: tpm.handle, output: seen?.output.map(ProcessOutput.init))
            }
        }
        return view
    }

    /// Of a process that others have started nothing is seen but what 'perdure adopt' has opened.
    private func foreignView(of vm: VMProcess) throws -> ProcessView {
        guard let maps = inventory[Inventory.maps(vm.generation)], try Mappings.isFile(maps, of: vm.handle) else {
            throw Doubt("what process \(vm.record.pid) maps can't be seen any more")
        }
        return ProcessView(maps: maps, memoryFiles: [:], executed: [:])
    }
}
