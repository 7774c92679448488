import Foundation
import Linux
import Testing

@testable import Varlink

struct ClientTests {
    /// A service that answers each call with the next of `replies`; each piece is sent on its own.
    private struct Service {
        let path: String
        private let listener: Descriptor

        init() throws {
            path = "/tmp/perdure-varlink-\(UInt64.random(in: 0 ... .max))"
            listener = try UnixSocket.listen(path, mode: 0o600)
        }

        /// Serves one connection; returns the calls.
        func serve(_ replies: [(pieces: [[UInt8]], descriptors: [Descriptor])]) async throws -> [String] {
            let loop = EventLoop(label: "service")
            defer { unlink(path) }
            try await loop.readable(listener, deadline: .seconds(20))
            guard let socket = try UnixSocket.accept(listener) else { return [] }
            var framing = VarlinkFraming()
            var calls: [String] = []
            while calls.count < replies.count {
                try await loop.readable(socket, deadline: .seconds(20))
                guard case .bytes(let bytes, _) = try UnixSocket.receive(from: socket) else { break }
                for message in try framing.take(bytes) {
                    let reply = replies[calls.count]
                    calls.append(try VarlinkMessage.decodeCall(message).method)
                    for (index, piece) in reply.pieces.enumerated() {
                        let attached = index == 0 ? reply.descriptors : []
                        _ = try UnixSocket.send(piece[...], attaching: attached, to: socket)
                    }
                }
            }
            return calls
        }
    }

    private struct Number: Codable {
        let number: Int
    }

    /// Runs blocking calls of a client while the service answers.
    private static func talk<Result: Sendable>(
        _ replies: [(pieces: [[UInt8]], descriptors: [Descriptor])],
        _ body: @escaping @Sendable (VarlinkClient) throws -> Result
    ) async throws -> (Result, calls: [String]) {
        let service = try Service()
        let serving = Task { try await service.serve(replies) }
        let path = service.path
        let result = try await BlockingCalls.run { try body(VarlinkClient(path: path)) }
        return (result, try await serving.value)
    }

    @Test func calls() async throws {
        let reply = try VarlinkMessage.reply(Number(number: 7))
        let split = reply.map { [$0] }
        let (numbers, calls) = try await Self.talk([([reply], []), (split, [])]) { client in
            try ["a.B", "a.C"].map { try client.call($0, GuestInterface.NoParameters(), as: Number.self).0.number }
        }
        #expect(numbers == [7, 7])
        #expect(calls == ["a.B", "a.C"])
    }

    @Test func errors() async throws {
        let known = try VarlinkMessage.error(GuestInterface.Failure.refused.qualified, VarlinkMessage.Reason("not now"))
        let unknown = try VarlinkMessage.error("org.varlink.service.MethodNotFound", ["method": "a.B"])
        let (texts, _) = try await Self.talk([([known], []), ([unknown], [])]) { client in
            (0..<2).map { _ in
                do {
                    _ = try client.call("a.B", GuestInterface.NoParameters(), as: Number.self)
                    return "none"
                } catch { return "\(error)" }
            }
        }
        #expect(texts == ["not now", "the service answered with 'org.varlink.service.MethodNotFound'"])
    }

    @Test func descriptorsComeWithTheirReply() async throws {
        let file = try MemoryFile.create("attached", growth: .allowed)
        let stray = try MemoryFile.create("stray", growth: .allowed)
        let error = try VarlinkMessage.error("a.E", VarlinkMessage.Reason("x"))
        let reply = try VarlinkMessage.reply(Number(number: 1))
        let replies = [([error], [stray]), ([reply], [file]), ([reply], [])]
        let (found, _) = try await Self.talk(replies.map { (pieces: $0.0, descriptors: $0.1) }) { client in
            try (0..<3).map { _ in
                let answer = try? client.call("a.B", GuestInterface.NoParameters(), as: Number.self)
                return try answer?.1.map { try $0.identity() }
            }
        }
        #expect(try found == [nil, [file.identity()], []])
    }

    @Test(arguments: ["", #"{"parameters": {"num"#])
    func serviceEnds(rest: String) async throws {
        let (text, _) = try await Self.talk([([Array(rest.utf8)].filter { !$0.isEmpty }, [])]) { client in
            do {
                _ = try client.call("a.B", GuestInterface.NoParameters(), as: Number.self)
                return "none"
            } catch { return "\(error)" }
        }
        #expect(text == "the supervisor ended before it had answered")
    }

    @Test func noService() {
        #expect(throws: SystemCallError.self) { try VarlinkClient(path: "/nonexistent/control") }
    }

    /// It has accepted the connection, and does not say a word.
    @Test func aServiceThatDoesNotAnswerIsGivenUp() throws {
        let path = "/tmp/perdure-varlink-\(UInt64.random(in: 0 ... .max))"
        let listener = try UnixSocket.listen(path, mode: 0o600)
        defer { unlink(path) }
        let client = try VarlinkClient(path: path, deadline: .milliseconds(50))
        let begin = ContinuousClock.now
        let error = #expect(throws: VarlinkError.self) {
            _ = try client.call("a.B", GuestInterface.NoParameters(), as: Number.self)
        }
        #expect(error?.reason == "the supervisor does not answer")
        #expect(.now - begin >= .milliseconds(50))
        withExtendedLifetime(listener) {}
    }
}
