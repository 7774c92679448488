import Glibc
import Linux
import Systemd
import Varlink

extension ControlConnection {
    /// Who has connected.
    enum Peer {
        /// Root, or the user whose manager runs this: has all rights.
        case owner
        /// Somebody of the group that may watch: polkit says what else.
        case member(Authority.Subject)

        var isOwner: Bool { if case .owner = self { true } else { false } }
    }

    /// How long polkit may take where nobody is asked for a password, and where somebody is.
    private static let answerDeadline = Duration.seconds(15)
    private static let passwordDeadline = Duration.seconds(120)

    /// Carries a call out where the client has the right to it, and otherwise refuses it. Until polkit has answered the
    /// client's later calls wait, and nobody else's.
    func carryOutWithRight(
        _ method: GuestInterface.Method,
        _ message: [UInt8],
        _ supervisor: isolated GuestSupervisor
    ) {
        guard case .member(let subject) = peer else { return carryOut(method, message, supervisor) }
        let what = "'\(method.rawValue)' of guest '\(supervisor.name)'"
        if (try? VarlinkMessage.parameters(message, as: GuestInterface.QEMUParameters.self))?.qemu != nil {
            return fail(.notPermitted, "\(what) with another QEMU program is not for this user: only root may name one")
        }
        guard let action = method.right.action else { return carryOut(method, message, supervisor) }
        guard let server = supervisor.control, let (ours, theirs) = try? UnixSocket.pair(), server.startAsking()
        else {
            return fail(.refused, "too many users wait for polkit's consent at guest '\(supervisor.name)'; try again")
        }
        let interaction = try? VarlinkMessage.parameters(message, as: GuestInterface.Interaction.self)
        let mayAsk = interaction?.allowInteractiveAuthentication == true
        let details = [(name: "guest", value: supervisor.name), (name: "method", value: method.rawValue)]
        isBusy = true
        question = ours
        supervisor.loop.spawn {
            let answer = try? await BlockingCalls.run {
                Authority.check(
                    subject,
                    action: action,
                    details: details,
                    mayAsk: mayAsk,
                    deadline: mayAsk ? ControlConnection.passwordDeadline : ControlConnection.answerDeadline,
                    until: theirs
                )
            }
            server.endAsking()
            question = nil
            isBusy = false
            if isBroken { return }
            if let refusal = ControlConnection.refusal(answer ?? .unavailable("no thread can be had"), action) {
                fail(.notPermitted, "\(what) is not for this user: \(refusal)")
            } else {
                carryOut(method, message, supervisor)
            }
            answerNext(supervisor)
            if isBroken { supervisor.control?.drop(self) }
        }
    }

    /// Nil where there is none.
    private static func refusal(_ answer: Authority.Answer, _ action: String) -> String? {
        switch answer {
        case .allowed: nil
        case .denied: "polkit does not allow '\(action)'"
        case .needsPassword: "polkit asks for a password for '\(action)', and there is nobody who could enter it"
        case .givenUp: "nobody has entered the password for '\(action)' in time"
        case .unavailable(let reason): "only root may, since polkit can't be asked for '\(action)' (\(reason))"
        }
    }
}
