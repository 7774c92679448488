import FoundationEssentials
import Linux

/// What is asked of a guest agent to see that it is there, and how its answer is known among what it may still have had
/// to say to somebody else.
struct AgentPing: Sendable {
    /// More than an agent says in answer.
    static let longestAnswer = 64 << 10

    private struct Number: Decodable { let `return`: Int }

    private struct Nothing: Decodable {
        struct Members: Decodable {}
        let `return`: Members
    }

    /// Sent back by the agent: what comes before it is not for this question.
    let number: Int

    init(number: Int = .random(in: 1...Int(Int32.max))) { self.number = number }

    /// The first byte makes the agent's parser drop what it may hold of an unfinished command.
    var question: [UInt8] {
        [0xFF]
            + Array(
                """
                {"execute":"guest-sync","arguments":{"id":\(number)}}
                {"execute":"guest-ping"}

                """.utf8
            )
    }

    /// Whether the agent has said that it is there.
    func isAnswered(by bytes: some Collection<UInt8>) -> Bool {
        let lines = bytes.split(separator: UInt8(ascii: "\n")).map { Data($0.drop { $0 == 0xFF }) }
        let decoder = JSONDecoder()
        guard
            let synchronized = lines.firstIndex(where: {
                (try? decoder.decode(Number.self, from: $0))?.return == number
            })
        else { return false }
        return lines[(synchronized + 1)...].contains { (try? decoder.decode(Nothing.self, from: $0)) != nil }
    }
}
