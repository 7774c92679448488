import Glibc
import Linux

/// By perdure-helper@.service, which systemd starts for each call: a supervisor has none of the rights itself.
public struct HelperCalls: ProcessCalls {
    public static let socket = "/run/perdure-helper"
    /// For systemd to start the helper, and for what it does.
    private static let deadline = Duration.seconds(20)

    private let connect: @Sendable () throws -> Descriptor

    public init() { connect = { try UnixSocket.connectMessages(HelperCalls.socket, deadline: HelperCalls.deadline) } }

    /// - Parameter connect: a new connection to a helper.
    init(connect: @escaping @Sendable () throws -> Descriptor) { self.connect = connect }

    public func start(_ program: Program) throws -> GatedProcess {
        guard let confinement = program.confinement else {
            throw HelperError("'\(program.path)' is not started as root")
        }
        let request = HelperRequest.Start(
            path: program.path,
            arguments: program.arguments,
            environment: program.environment,
            numbers: program.inherited.map(\.raw),
            confinement: confinement
        )
        return try call(.start(request), attaching: [program.output] + program.inherited) { reply, attached, helper in
            guard case .started(let pid) = reply, attached.count == 3 else { return nil }
            return GatedProcess(
                handle: try ProcessHandle(descriptor: attached[0], pid: pid, keeper: helper),
                gate: attached[1],
                execResult: attached[2]
            )
        }
    }

    public func look(at process: ProcessHandle) throws -> ProcessView {
        try call(.look(HelperRequest.Target(process))) { reply, attached, _ in
            guard case .seen(let memoryFiles, let executed) = reply, let maps = attached.first else { return nil }
            let output = attached.dropFirst().first
            return ProcessView(maps: maps, memoryFiles: memoryFiles, executed: executed, output: output)
        }
    }

    public func fetch(_ numbers: [Int32], from process: ProcessHandle) throws -> FetchedDescriptors {
        if numbers.isEmpty { return FetchedDescriptors() }
        return try call(.fetch(HelperRequest.Target(process), numbers: numbers)) { reply, attached, _ in
            guard case .fetched(let found, let failures) = reply, found.count == attached.count else { return nil }
            var fetched = FetchedDescriptors()
            fetched.found = Dictionary(zip(found, attached)) { first, _ in first }
            fetched.failures = failures.mapValues(\.error)
            return fetched
        }
    }

    /// What belongs to root needs no help.
    public func open(_ path: String, _ flags: Int32) throws -> Descriptor {
        let refused: SystemCallError
        do {
            return try Descriptor.open(path, flags)
        } catch {
            refused = error
        }
        guard refused.code == EACCES || refused.code == EPERM else { throw refused }
        return try call(.open(path: path, flags: flags)) { reply, attached, _ in
            guard case .opened = reply else { return nil }
            return attached.first
        }
    }

    /// The helper knows by itself which guest it is asked for.
    public func openTPM(of guest: String, user: UInt32?, isIncoming: Bool, isThrowAway: Bool) throws -> Descriptor {
        guard let user else { throw HelperError("a TPM is not kept by root") }
        return try call(.openTPM(user: user, isIncoming: isIncoming, isThrowAway: isThrowAway)) { reply, attached, _ in
            guard case .opened = reply else { return nil }
            return attached.first
        }
    }

    public func removeTPMCopy(of guest: String) throws {
        _ = try call(.removeTPMCopy) { reply, _, _ -> Bool? in
            guard case .done = reply else { return nil }
            return true
        }
    }

    private func call<Answer>(
        _ request: HelperRequest,
        attaching attached: [Descriptor] = [],
        _ read: (HelperReply, [Descriptor], Descriptor) throws -> Answer?
    ) throws -> Answer {
        let (reply, received, helper): (HelperReply, [Descriptor], Descriptor)
        do {
            helper = try connect()
            try HelperMessage.send(request, attaching: attached, to: helper)
            (reply, received) = try HelperMessage.receive(
                HelperReply.self,
                from: helper,
                deadline: HelperCalls.deadline
            )
        } catch {
            throw HelperError(
                "the supervisor's helper can't be reached: \(error); see 'systemctl status perdure-helper.socket', and start it "
                    + "where it is stopped"
            )
        }
        switch reply {
        case .failed(let failure): throw failure.error
        case .refused(let reason): throw HelperError("the supervisor's helper refuses: \(reason)")
        default: break
        }
        guard let answer = try read(reply, received, helper) else {
            throw HelperError("the supervisor's helper gave another answer than was asked for")
        }
        return answer
    }
}

extension HelperRequest.Target {
    init(_ process: ProcessHandle) { self.init(pid: process.pid, startTime: process.startTime) }
}
