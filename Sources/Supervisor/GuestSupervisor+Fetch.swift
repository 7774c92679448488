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
            guard let file = try fetchFile(Inventory.ledger, from: handle) else { return }
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
    func fetchLost(_ ledger: Ledger) {
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
            for name in names where inventory[name] == nil {
                do {
                    let found =
                        switch name {
                        case monitor: try fetchSocket(record.monitor, handle)
                        case Inventory.consoleInput: try fetchConsoleInput(record, handle)
                        case Inventory.agent, Inventory.agentPeer: try fetchSocket(record.sockets?[name], handle)
                        case _ where taps[name] != nil: try fetchTap(taps[name], handle)
                        default: try fetchFile(name, from: handle)
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

    private func fetchSocket(_ number: Int32?, _ handle: ProcessHandle) throws -> Descriptor? {
        guard let number else { return nil }
        let socket = try handle.fetch(number)
        guard (try? UnixSocket.peerUser(socket)) != nil else {
            throw Doubt("descriptor \(number) of process \(handle.pid) is no connected socket")
        }
        return socket
    }

    private func fetchConsoleInput(_ record: VMProcessRecord, _ handle: ProcessHandle) throws -> Descriptor? {
        guard let number = record.console?.input else { return nil }
        let pipe = try handle.fetch(number)
        guard Pipe.isPipe(pipe) else {
            throw Doubt("descriptor \(number) of process \(handle.pid) is no pipe")
        }
        return pipe
    }

    private func fetchTap(_ number: Int32?, _ handle: ProcessHandle) throws -> Descriptor? {
        guard let number else { return nil }
        let queue = try handle.fetch(number)
        guard TapQueue.interface(of: queue) != nil else {
            throw Doubt("descriptor \(number) of process \(handle.pid) is no queue of a network")
        }
        return queue
    }

    /// A memory file that the process has open; nil where it has none of that name.
    private func fetchFile(_ name: String, from handle: ProcessHandle) throws -> Descriptor? {
        let files = try (handle.memoryFiles()[name] ?? []).map { try handle.fetch($0) }
        guard let first = files.first else { return nil }
        let identity = try first.identity()
        guard try files.allSatisfy({ try $0.identity().isSameFile(as: identity) }) else {
            throw Doubt("process \(handle.pid) has several files of that name")
        }
        // A VM process could make one of that name by itself, but not as us where it runs as somebody else.
        guard identity.owner == geteuid() else { throw Doubt("process \(handle.pid) has a file of another user") }
        if name.hasPrefix(Inventory.ram("")) {
            let mapped = try Mappings(of: handle.pid).length(of: identity, shared: true)
            guard mapped == (try first.size()) else {
                throw Doubt("process \(handle.pid) does not use all of it as shared memory")
            }
        }
        // What the VM process has may be for reading or appending only.
        return try first.reopened(O_RDWR)
    }
}
