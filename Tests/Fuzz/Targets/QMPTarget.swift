import Dispatch
import FoundationEssentials
import Glibc
import GuestDefinition
import Lifecycle
import Linux
import QMP
import Varlink

@testable import Supervisor

/// What a VM process answers a supervisor that does with it what a handover does. Each command is answered with the next
/// line that has "@ID@" in it, which is replaced by the command's id, and all that follows up to another such line. When
/// there is no more, the VM process closes its monitor.
enum QMPTarget {
    private static let loop = EventLoop(label: "fuzz-qmp")
    private static let placeholder = Array("@ID@".utf8)
    /// Milliseconds that the next command may take to come. A client that waits for a reply instead gets what there is.
    private static let patience: Int32 = 5
    /// How often what was not asked for is sent.
    private static let mostUnasked = 3

    static func check(_ input: [UInt8]) throws {
        let (ours, theirs) = try UnixSocket.pair()
        let supervisor = GuestSupervisor(guest: "web", loop: loop, loader: DefinitionLoader(directories: [])) { _ in }
        DispatchQueue.global().async { answer(input, theirs) }
        let messages = try onLoop { try await supervisor.doEverything(with: ours) }
        for message in messages { try requireShowable(message) }
    }

    private static func answer(_ input: [UInt8], _ socket: Descriptor) {
        defer { _ = shutdown(socket.raw, Int32(SHUT_RDWR)) }
        var rest = input[...]
        var unasked = 0
        while true {
            let command = nextLine(socket)
            if command == nil { unasked += 1 }
            if unasked > mostUnasked { return }
            let part = rest[..<nextReply(in: rest)]
            rest = rest[part.endIndex...]
            guard send(part.replacing(placeholder, with: id(of: command ?? [])), socket), !rest.isEmpty else { return }
        }
    }

    /// Where the line with the second placeholder begins.
    private static func nextReply(in lines: ArraySlice<UInt8>) -> Int {
        guard let first = lines.firstRange(of: placeholder),
            let second = lines[first.upperBound...].firstRange(of: placeholder)
        else { return lines.endIndex }
        let before = lines[first.upperBound..<second.lowerBound]
        return before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? second.upperBound
    }

    private static func nextLine(_ socket: Descriptor) -> [UInt8]? {
        var line: [UInt8] = []
        while line.last != UInt8(ascii: "\n") {
            guard wait(socket, POLLIN), let received = try? UnixSocket.receive(from: socket) else { return nil }
            if case .bytes(let bytes, _) = received { line += bytes }
            if case .endOfStream = received { return nil }
        }
        return line
    }

    private static func id(of command: [UInt8]) -> [UInt8] {
        struct Command: Decodable { let id: String }
        let json = command.drop { $0 == 0xFF }
        return ((try? JSONDecoder().decode(Command.self, from: Data(json)))?.id).map { Array($0.utf8) } ?? []
    }

    /// Whether all of it was taken.
    private static func send(_ bytes: ArraySlice<UInt8>, _ socket: Descriptor) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            guard wait(socket, POLLOUT, 20_000), let sent = try? UnixSocket.send(rest, to: socket) else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    private static func wait(_ socket: Descriptor, _ event: Int32, _ milliseconds: Int32 = patience) -> Bool {
        var entry = pollfd(fd: socket.raw, events: Int16(event), revents: 0)
        return poll(&entry, 1, milliseconds) > 0
    }
}

extension GuestSupervisor {
    private static let hardware = GuestHardware(
        machine: "pc-q35-7.2",
        accelerator: .tcg,
        cpuCount: 1,
        cpuModel: "qemu64-v1",
        ram: [RAMBlock(id: "main", size: 32 << 20)],
        kernel: DirectKernel(image: "/boot/vmlinuz")
    )

    /// Talks to a VM process as a handover does. Returns what there was to say.
    fileprivate func doEverything(with monitor: Descriptor) async throws -> [String] {
        inventory[Inventory.state] = try MemoryFile.create(Inventory.state, growth: .allowed)
        // This process, which does not end, plays the VM process.
        let handle = try ProcessHandle(pid: getpid())
        let record = VMProcessRecord(
            generation: 1,
            pid: handle.pid,
            startTime: handle.startTime,
            qemu: "/usr/bin/qemu-system-x86_64",
            version: QEMUVersion(major: 7, minor: 2),
            package: "",
            hasFileMigration: false
        )
        let file = try LedgerFile()
        (ledgerFile, inventory[Inventory.ledger]) = (file, file.file)
        ledger = Ledger(guest: name, phase: .running, generation: 1, current: record, hardware: Self.hardware)
        let vm = attach(record, handle: handle, monitor: monitor, output: nil, facts: nil)
        // Nobody waits for it to end after its monitor has.
        vm.end = .unknown
        current = vm
        defer {
            processes = [:]
            vm.exitWatch = nil
            current = nil
        }
        var messages: [String] = []
        for step in FuzzStep.allCases {
            do {
                messages += try await perform(step, with: vm)
            } catch {
                messages.append("\(error)")
            }
        }
        await vm.qmp.close()
        // What it has said is part of the status, and of the ledger that the next supervisor reads.
        messages.append(status.summary)
        try self.record { _ in }
        _ = try LedgerFile.open(file.file)
        return messages
    }

    /// What a handover does with VM processes, in an order that no single one sees.
    private enum FuzzStep: CaseIterable {
        case negotiate, probe, prepareSave, askStatus, stopGuest, saveState, loadState, continueGuest, askDisks
    }

    /// Returns texts that it came to know.
    private func perform(_ step: FuzzStep, with vm: VMProcess) async throws -> [String] {
        let deadline = GuestSupervisor.answerDeadline
        switch step {
        case .negotiate: try await vm.qmp.negotiate(deadline: deadline)
        case .probe:
            let facts = try await QEMUFacts.ask(vm.qmp, path: "/usr/bin/qemu", deadline: deadline)
            _ = try? facts.pinnedMachine("none of these")
            return [facts.package, try facts.pinnedMachine("pc"), try facts.pinnedCPUModel("qemu64")]
        case .prepareSave:
            try await vm.prepareSave(to: inventory[Inventory.state])
            try inventory[Inventory.state]?.write(Array("device state".utf8), at: 0)
        case .askStatus: return ["\(try await vm.qmp.execute(QueryStatus(), deadline: deadline).status)"]
        case .stopGuest: try await stopGuest()
        case .saveState: try await saveState()
        case .loadState: try await loadState()
        case .continueGuest: try await continueGuest()
        case .askDisks: _ = try await vm.qmp.execute(QueryBlockStatistics(), deadline: deadline)
        }
        return []
    }
}
