import FoundationEssentials
import GuestDefinition
import Linux
import Varlink

@testable import Supervisor

/// The bytes that a client of the control socket sends.
enum VarlinkTarget {
    private static let loop = EventLoop(label: "fuzz-varlink")

    static func check(_ input: [UInt8]) throws -> Bool {
        let supervisor = GuestSupervisor(guest: "web", loop: loop, loader: DefinitionLoader(directories: [])) { _ in }
        let replies = try Running { try await supervisor.repliesToClient(sending: input) }.wait()
        let calls = input.count { $0 == 0 }
        let messages = replies.split(separator: 0, omittingEmptySubsequences: false)
        try require(messages.last?.isEmpty == true, "a reply has no end")
        try require(messages.count - 1 <= calls, "there are more replies than calls")
        var isAnswered = false
        for message in messages.dropLast() {
            // A method's name comes back in the error, with each of its bytes escaped at worst.
            try require(message.count < 7 * VarlinkMessage.maximumLength, "a reply is longer than what it replies to")
            if try JSONDecoder().decode(Reply.self, from: Data(message)).error == nil { isAnswered = true }
        }
        return isAnswered
    }

    private struct Reply: Decodable {
        let error: String?
    }
}

extension GuestSupervisor {
    /// What a client gets that sends all this at once, and reads what it gets.
    fileprivate func repliesToClient(sending bytes: [UInt8]) async throws -> [UInt8] {
        inventory[Inventory.consoleLog] = try MemoryFile.create("console.log", growth: .allowed)
        let (ours, theirs) = try UnixSocket.pair()
        let connection = ControlConnection(socket: ours, peer: .owner, supervisor: self)
        var replies: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = try UnixSocket.send(rest.prefix(4096), to: theirs)
            rest = rest.dropFirst(sent)
            let goesOn = connection.readable(self)
            while connection.isBusy { await Task.yield() }
            while case .bytes(let reply, let attached) = try UnixSocket.receive(from: theirs) {
                replies += reply
                try require(attached.count <= 4, "a reply brings \(attached.count) descriptors")
            }
            if !goesOn { break }
        }
        return replies
    }
}
