import CSystemd
import Glibc
import Linux

/// polkit (polkit(8)), which the administrator has told who may do what.
public enum Authority {
    /// Who wants something.
    public struct Subject: Sendable {
        public let process: ProcessHandle
        /// As which it has connected, whatever it has become since.
        public let user: UInt32

        public init(process: ProcessHandle, user: UInt32) {
            self.process = process
            self.user = user
        }
    }

    public enum Answer: Equatable, Sendable {
        case allowed
        case denied
        /// A password would do, and nobody can be asked for it.
        case needsPassword
        /// Nobody has entered a password in time, or the caller has gone.
        case givenUp
        /// There is no polkit here, or it does not know the action: why.
        case unavailable(String)
    }

    private static let path = "/org/freedesktop/PolicyKit1/Authority"
    private static let interface = "org.freedesktop.PolicyKit1.Authority"
    /// Of the one question that a connection is made for.
    private static let question = "question"

    /// Asks whether `subject` may carry out an action that a policy file defines. Blocks, at most until the deadline.
    /// - Parameters:
    ///   - details: what a rule can look at (`action.lookup`), and what the question for a password can mention.
    ///   - mayAsk: whether a person may be asked for a password meanwhile.
    ///   - caller: a socket; once its other end is closed, nobody wants to know any more.
    public static func check(
        _ subject: Subject,
        action: String,
        details: [(name: String, value: String)],
        mayAsk: Bool,
        deadline: Duration,
        until caller: Descriptor
    ) -> Answer {
        let end = ContinuousClock.now + deadline
        do {
            let bus = try Bus(.polkit)
            let cookie = try bus.send(path, interface, "CheckAuthorization") { request in
                append(subject, to: request)
                request.append(action)
                request.container("a", "{ss}") {
                    for (name, value) in details {
                        request.container("e", "ss") {
                            request.append(name)
                            request.append(value)
                        }
                    }
                }
                request.append(UInt32(mayAsk ? 1 : 0))
                request.append(question)
            }
            guard let reply = try bus.reply(to: cookie, before: end, until: caller) else {
                // The question for the password goes away with it.
                _ = try? bus.send(path, interface, "CancelCheckAuthorization") { $0.append(question) }
                bus.flush()
                return .givenUp
            }
            return answer(reply)
        } catch {
            return .unavailable(error.reason)
        }
    }

    private static func append(_ subject: Subject, to request: BusMessage) {
        let process = subject.process
        request.container("r", "sa{sv}") {
            request.append("unix-process")
            request.container("a", "{sv}") {
                request.entry("pid", type: "u") { request.append(UInt32(process.pid)) }
                request.entry("start-time", type: "t") { request.append(process.startTime) }
                request.entry("uid", type: "i") { request.append(Int32(bitPattern: subject.user)) }
                // Read by polkit 124 and newer.
                request.entry("pidfd", type: "h") { request.append(process.descriptor) }
            }
        }
    }

    private static func answer(_ reply: BusMessage) -> Answer {
        if let error = reply.error {
            return .unavailable(error.text.isEmpty ? error.name : error.text)
        }
        guard reply.enter("r", "bba{ss}"), let isAuthorized = reply.boolean(), let isChallenge = reply.boolean() else {
            return .unavailable("unexpected reply")
        }
        return isAuthorized ? .allowed : isChallenge ? .needsPassword : .denied
    }
}
