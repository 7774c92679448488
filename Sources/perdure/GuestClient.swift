import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Varlink

/// Calls to a guest's supervisor on behalf of a command.
struct GuestClient {
    let guest: String
    private let client: VarlinkClient

    /// Where the guest's control socket is while it has a supervisor.
    static func directory(of guest: String) -> String { "\(Locations.current.runtime)/\(guest)" }

    private static let monitorDeadline = Duration.seconds(2)
    /// One that does not take others in for so long won't take this one in, either.
    private static let connectDeadline = Duration.seconds(10)

    /// Hung up once the supervisor has ended.
    var socket: Descriptor { client.socket }

    /// - Parameter deadline: how long the supervisor may take for each answer; nil to wait for as long as it takes.
    init(_ guest: String, deadline: Duration? = nil) throws {
        if let problem = GuestName.problem(with: guest) { throw Exit.failure(problem) }
        self.guest = guest
        do {
            client = try VarlinkClient(
                path: "\(GuestClient.directory(of: guest))/control",
                deadline: deadline,
                connectDeadline: GuestClient.connectDeadline
            )
        } catch  where error.code == 2 || error.code == 111 {
            throw GuestClient.notRunning(guest)
        } catch  where error.code == 13 {
            throw Exit.failure(
                "only root and members of the group 'perdure' may ask the supervisor of guest '\(guest)'"
            )
        } catch {
            throw Exit.failure("the supervisor of guest '\(guest)' can't be reached: \(error)")
        }
    }

    private static func notRunning(_ guest: String) -> CommandFailure {
        let defined = try? DefinedGuests.names()
        guard let defined, !defined.contains(guest) else {
            let start = "\(Locations.current.systemctl) start perdure@\(guest)"
            return Exit.notRunning("the guest '\(guest)' is not running; '\(start)' starts it")
        }
        let meant = NearestName.find(guest, in: defined).map { "did you mean '\($0)'?" }
        return Exit.notRunning(
            "there is no guest '\(guest)'; \(meant ?? "'\(Locations.current.perdure) list' shows those that there are")"
        )
    }

    /// - Parameter progress: where it is shown what the supervisor does meanwhile.
    func call(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable = GuestInterface.NoParameters(),
        progress: ProgressLine? = nil
    ) throws -> GuestInterface.Status {
        try call(method, parameters, as: GuestInterface.StatusReply.self, progress: progress).0.status
    }

    func memory(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable = GuestInterface.NoParameters()
    ) throws -> GuestInterface.Memory {
        try call(method, parameters, as: GuestInterface.MemoryReply.self).0.memory
    }

    func call<Reply: Decodable>(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable,
        as type: Reply.Type,
        progress: ProgressLine? = nil
    ) throws -> (Reply, [Descriptor]) {
        try begin(method, parameters)
        if let progress { follow(on: progress) }
        return try answer(as: type)
    }

    /// The first half of a call, which does not wait for the answer.
    /// - Parameter attached: what goes along.
    func begin(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable,
        attaching attached: [Descriptor] = []
    ) throws {
        if method.right != .watch, PasswordAgent.isThere {
            try client.send(method.qualified, Asking(parameters), attaching: attached)
        } else {
            try client.send(method.qualified, parameters, attaching: attached)
        }
    }

    /// The other half.
    func answer<Reply: Decodable>(as type: Reply.Type) throws -> (Reply, [Descriptor]) {
        do {
            return try client.receive(as: type)
        } catch let error as VarlinkError {
            let message = "guest '\(guest)': \(error)"
            switch error.name {
            case GuestInterface.Failure.refused.qualified: throw Exit.refused(message)
            case GuestInterface.Failure.failed.qualified: throw Exit.refused(message)
            case GuestInterface.Failure.invalidDefinition.qualified: throw Exit.definition(message)
            case GuestInterface.Failure.notRunning.qualified: throw Exit.notRunning(message)
            default: throw Exit.failure(message)
            }
        }
    }

    /// Shows what the supervisor says of itself, until the answer to the call is there.
    private func follow(on progress: ProgressLine) {
        defer { progress.finish(guest) }
        let path = "\(GuestClient.directory(of: guest))/control"
        let monitor = try? VarlinkClient(path: path, deadline: GuestClient.monitorDeadline)
        let parameters = GuestInterface.NoParameters()
        guard let monitor, (try? monitor.send(GuestInterface.Method.monitor.qualified, parameters, more: true)) != nil
        else { return }
        while true {
            let ready = try? Polling.wait(for: [.readable(client.socket.raw), .readable(monitor.socket.raw)])
            guard let ready, !ready[0] else { return }
            guard ready[1] else { continue }
            repeat {
                guard let status = try? monitor.receive(as: GuestInterface.StatusReply.self).0.status else { return }
                progress.update(guest, "\(status.summary)\(status.step.map { " (\($0))" } ?? "")")
            } while monitor.hasAnswer
        }
    }
}

/// A method's parameters, and that somebody may be asked for a password.
private struct Asking<Parameters: Encodable>: Encodable {
    let parameters: Parameters

    init(_ parameters: Parameters) { self.parameters = parameters }

    func encode(to encoder: any Encoder) throws {
        try parameters.encode(to: encoder)
        try GuestInterface.Interaction(allowed: true).encode(to: encoder)
    }
}
