import Testing

@testable import Supervisor

struct AgentPingTests {
    private let ping = AgentPing(number: 7)

    private func isAnswered(_ text: String) -> Bool { ping.isAnswered(by: Array(text.utf8)) }

    @Test func theQuestionHasTheNumberAndEndsItsLines() {
        #expect(ping.question.first == 0xFF && ping.question.last == UInt8(ascii: "\n"))
        let text = String(decoding: ping.question.dropFirst(), as: UTF8.self)
        #expect(text.contains(#"{"execute":"guest-sync","arguments":{"id":7}}"#) && text.contains("guest-ping"))
        #expect(AgentPing().number != AgentPing().number)
    }

    @Test func bothAnswersAreWanted() {
        #expect(isAnswered("{\"return\": 7}\n{\"return\": {}}\n"))
        #expect(ping.isAnswered(by: [0xFF] + Array("{\"return\": 7}\n{\"return\": {}}\n".utf8)))
        #expect(!isAnswered("") && !isAnswered("{\"return\": 7}\n"))
    }

    /// An agent may still have had something to say to whoever asked before.
    @Test func answersToOthersDoNotCount() {
        #expect(!isAnswered("{\"return\": {}}\n{\"return\": 7}\n"))
        #expect(!isAnswered("{\"return\": 6}\n{\"return\": {}}\n"))
        #expect(isAnswered("{\"return\": {}}\n{\"return\": 6}\n{\"return\": 7}\n{\"return\": {}}\n"))
    }

    @Test func whatIsNoAnswerIsNone() {
        #expect(!isAnswered(String(decoding: ping.question, as: UTF8.self)))
        #expect(
            !isAnswered("{\"error\": {\"class\": \"CommandNotFound\"}}\nnonsense\n{\"return\": 7}\n{\"error\": {}}\n")
        )
    }
}
