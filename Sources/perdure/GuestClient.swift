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

    /// Hung up once the supervisor has ended.
    var socket: Descriptor { client.socket }

    /// - Parameter deadline: how long the supervisor may take for each answer; nil to wait for as long as it takes.
    init(_ guest: String, deadline: Duration? = nil) throws {
        if let problem = GuestName.problem(with: guest) { throw Exit.failure(problem) }
        self.guest = guest
        do {
            client = try VarlinkClient(path: "\(GuestClient.directory(of: guest))/control", deadline: deadline)
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

    func call(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable = GuestInterface.NoParameters()
    ) throws -> GuestInterface.Status {
        try call(method, parameters, as: GuestInterface.StatusReply.self).0.status
    }

    func call<Reply: Decodable>(
        _ method: GuestInterface.Method,
        _ parameters: some Encodable,
        as type: Reply.Type
    ) throws -> (Reply, [Descriptor]) {
        do {
            guard method.right != .watch, PasswordAgent.isThere else {
                return try client.call(method.qualified, parameters, as: type)
            }
            return try client.call(method.qualified, Asking(parameters), as: type)
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
