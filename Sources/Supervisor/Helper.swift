import Glibc
import GuestDefinition
import Linux
import Systemd

/// perdure-helper@.service: does for a guest's supervisor one thing that it has no right to do itself, and nothing but
/// that. What it starts is that guest's user without capabilities, and what it looks into are processes of that user.
public struct Helper {
    private let requestDeadline: Duration
    private let calls = OwnCalls()
    private let users: GuestUsers
    /// Whose supervisor has connected; throws where it is anybody else.
    private let guest: (Descriptor) throws -> String
    /// Told why something was refused: no supervisor has a reason to ask for it.
    private let log: (String) -> Void

    /// - Parameter log: told why something was refused.
    public init(log: @escaping (String) -> Void) {
        self.init(users: GuestUsers(), log: log, guest: Helper.supervisedGuest)
    }

    init(
        users: GuestUsers,
        requestDeadline: Duration = .seconds(20),
        log: @escaping (String) -> Void = { _ in },
        guest: @escaping (Descriptor) throws -> String
    ) {
        (self.users, self.requestDeadline, self.log, self.guest) = (users, requestDeadline, log, guest)
    }

    /// Serves the one request that comes over a connection, and returns when there is nothing more to say.
    /// - Parameter answered: called once the request is answered, and there may be a child to wait for without limit.
    public func serve(_ connection: Descriptor, answered: () -> Void = {}) throws {
        // What was attached is closed by then: neither a guest's memory nor its disks are kept open here.
        let child = try answer(connection)
        answered()
        if let child { try keep(child, for: connection) }
    }

    /// Being root is not enough: root without capabilities is what other services are, too.
    private static func supervisedGuest(_ connection: Descriptor) throws -> String {
        guard try UnixSocket.peerUser(connection) == 0 else { throw HelperError("only root may ask") }
        let peer = try ProcessHandle(peerOf: connection)
        let unit: String
        do {
            unit = try ProcessUnit.of(peer)
        } catch {
            throw HelperError("process \(peer.pid) is no guest's supervisor: \(error)")
        }
        guard unit.hasPrefix("perdure@"), unit.hasSuffix(".service") else {
            throw HelperError("process \(peer.pid) in '\(unit)' is no guest's supervisor")
        }
        let name = String(unit.dropFirst("perdure@".count).dropLast(".service".count))
        if let problem = GuestName.problem(with: name) { throw HelperError(problem) }
        return name
    }

    /// - Returns: a child whose end is still to be told.
    private func answer(_ connection: Descriptor) throws -> ProcessHandle? {
        do {
            let guest = try guest(connection)
            let (request, attached) = try HelperMessage.receive(
                HelperRequest.self,
                from: connection,
                deadline: requestDeadline
            )
            return try answer(request, attached, connection, guest)
        } catch let error as SystemCallError {
            // One that asks for nothing, or does not wait, is no failure of this program.
            try? HelperMessage.send(HelperReply.failed(HelperReply.Failure(error)), to: connection)
        } catch {
            log("\(error)")
            try? HelperMessage.send(HelperReply.refused("\(error)"), to: connection)
        }
        return nil
    }

    private func answer(
        _ request: HelperRequest,
        _ attached: [Descriptor],
        _ connection: Descriptor,
        _ guest: String
    ) throws -> ProcessHandle? {
        switch request {
        case .start(let start): return try self.start(start, attached, connection, guest)
        case .look(let target):
            let view = try calls.look(at: try process(target, of: guest))
            try HelperMessage.send(
                HelperReply.seen(memoryFiles: view.memoryFiles, executed: view.executed),
                attaching: [view.maps] + [view.output].compactMap { $0 },
                to: connection
            )
        case .fetch(let target, let numbers):
            guard numbers.count < UnixSocket.mostDescriptors else {
                throw HelperError("\(numbers.count) descriptors are more than one answer has room for")
            }
            let fetched = try calls.fetch(numbers, from: try process(target, of: guest))
            let found = fetched.found.keys.sorted()
            try HelperMessage.send(
                HelperReply.fetched(found: found, failures: fetched.failures.mapValues { HelperReply.Failure($0) }),
                attaching: found.compactMap { fetched.found[$0] },
                to: connection
            )
        case .open(let path, let flags):
            try HelperMessage.send(HelperReply.opened, attaching: [try HelperFile.open(path, flags)], to: connection)
        case .openTPM(let user, let isIncoming, let isThrowAway):
            try check(user, isOf: guest)
            let directory = try calls.openTPM(
                of: guest,
                user: user,
                isIncoming: isIncoming,
                isThrowAway: isThrowAway
            )
            try HelperMessage.send(HelperReply.opened, attaching: [directory], to: connection)
        case .removeTPMCopy:
            try calls.removeTPMCopy(of: guest)
            try HelperMessage.send(HelperReply.done, to: connection)
        }
        return nil
    }

    private func check(_ user: UInt32, isOf guest: String) throws {
        guard users.isUser(user, of: guest) else {
            throw HelperError("user \(user) is not that of the guest '\(guest)'")
        }
    }

    /// The gate is left to the supervisor alone: when it ends, so does the child.
    private func start(
        _ start: HelperRequest.Start,
        _ attached: [Descriptor],
        _ connection: Descriptor,
        _ guest: String
    ) throws -> ProcessHandle {
        guard let output = attached.first, attached.count == start.numbers.count + 1,
            start.numbers.allSatisfy({ $0 > STDERR_FILENO && $0 < HelperRequest.Start.numberLimit }),
            Set(start.numbers).count == start.numbers.count
        else { throw HelperError("the request's descriptors are not as it says") }
        let confinement = start.confinement
        try check(confinement.user, isOf: guest)
        guard confinement.groups.allSatisfy({ $0 == GuestUsers.group(of: GuestUsers.kvm) }) else {
            throw HelperError("a VM process gets no other group than that of '\(GuestUsers.kvm)'")
        }
        try HelperFile.checkProgram(start.path)
        let process = try GatedProcess(
            Program(
                path: start.path,
                arguments: start.arguments,
                environment: start.environment,
                inherited: Array(attached.dropFirst()),
                output: output,
                confinement: confinement
            ),
            numbers: start.numbers
        )
        try HelperMessage.send(
            HelperReply.started(pid: process.handle.pid),
            attaching: [process.handle.descriptor, process.gate, process.execResult],
            to: connection
        )
        return process.handle
    }

    /// Waits for the child's end, to say how it has ended. Nobody to tell it to is no reason to end the child.
    private func keep(_ child: ProcessHandle, for connection: Descriptor) throws {
        ResidentMemory.trim()
        let ready = try Polling.wait(for: [.readable(child.descriptor.raw), .readable(connection.raw)])
        // One that has killed it may not want to know.
        if ready[0] { try? child.tellEnd(to: connection) }
    }

    /// The first versions have VM processes run as root, in scopes like those of the others. Only systemd puts a process there.
    private func isOld(_ process: ProcessHandle, _ guest: String) -> Bool {
        let prefix = "perdure-\(guest)-g"
        guard let unit = try? ProcessUnit.of(process), unit.hasPrefix(prefix), unit.hasSuffix(".scope"),
            let generation = Int(unit.dropFirst(prefix.count).dropLast(".scope".count))
        else { return false }
        return unit == GuestScopes.name(guest: guest, generation: generation)
    }

    /// A process of the guest's user, and so none that could be of any other use.
    private func process(_ target: HelperRequest.Target, of guest: String) throws -> ProcessHandle {
        let handle = try ProcessHandle(pid: target.pid, startTime: target.startTime)
        let who = try handle.users()
        guard who.allSatisfy({ users.isUser($0, of: guest) }) || who.allSatisfy({ $0 == 0 }) && isOld(handle, guest)
        else {
            throw HelperError("process \(target.pid) is not one of the guest '\(guest)'")
        }
        return handle
    }
}
