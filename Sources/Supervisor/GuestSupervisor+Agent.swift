import Lifecycle
import Linux
import Varlink

extension GuestSupervisor {
    /// Asks the guest agent whether it is there. Somebody who talks to it is not disturbed; who comes meanwhile waits.
    func pingAgent(deadline: Duration) async -> GuestInterface.AgentState {
        guard case .standing(.running) = lifecycle.state, !lifecycle.isPaused, let agent else { return .none }
        guard let line = try? agent.connect() else { return .busy }
        // The channel hears that it is over by this end's close.
        let ping = AgentPing()
        guard (try? UnixSocket.send(ping.question[...], to: line)) == ping.question.count else { return .silent }
        agent.advance()
        let end = ContinuousClock.now + deadline
        var heard: [UInt8] = []
        while heard.count < AgentPing.longestAnswer, (try? await loop.readable(line, deadline: end - .now)) != nil {
            guard case .bytes(let bytes, _)? = try? UnixSocket.receive(from: line, limit: AgentPing.longestAnswer)
            else {
                break
            }
            heard += bytes
            if ping.isAnswered(by: heard) { return .answers }
        }
        return .silent
    }
}
