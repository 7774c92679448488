import FoundationEssentials
import Glibc
import Linux

/// What a supervisor asks of its helper. Both may be of different versions for as long as a package is being replaced.
enum HelperRequest: Codable {
    /// Attached: the output, and what is inherited.
    case start(Start)
    case look(Target)
    case fetch(Target, numbers: [Int32])
    case open(path: String, flags: Int32)
    case openTPM(user: UInt32, isIncoming: Bool, isThrowAway: Bool)
    case removeTPMCopy

    struct Start: Codable {
        /// No process that is started has as many descriptors open.
        static let numberLimit: Int32 = 1 << 16

        var path: String
        var arguments: [String]
        var environment: [String]
        /// What the program has each inherited descriptor as.
        var numbers: [Int32]
        var confinement: Confinement
    }

    struct Target: Codable {
        var pid: Int32
        var startTime: UInt64
    }
}

/// What comes back, with descriptors attached.
enum HelperReply: Codable {
    /// Attached: pidfd, gate, result of the execution. When the process has ended, a message says how.
    case started(pid: Int32)
    /// Attached: /proc/PID/maps, and the output where there is one.
    case seen(memoryFiles: [String: [Int32]], executed: [String: FileIdentity])
    /// Attached: what was found, in this order.
    case fetched(found: [Int32], failures: [Int32: Failure])
    /// Attached: the file.
    case opened
    case done
    case failed(Failure)
    case refused(String)

    /// A `SystemCallError` of the helper.
    struct Failure: Codable {
        var call: String
        var object: String
        var code: Int32

        init(_ error: SystemCallError) {
            (call, object, code) = (error.call, error.object, error.code)
        }

        var error: SystemCallError { SystemCallError(call, on: object, code: code) }
    }
}

struct HelperError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// One message each way, in a memory file: a message proper has not room enough for all that a process has open.
enum HelperMessage {
    private static let largest: UInt64 = 4 << 20

    static func send(_ value: some Encodable, attaching attached: [Descriptor] = [], to socket: Descriptor) throws {
        guard attached.count < UnixSocket.mostDescriptors else {
            throw HelperError("\(attached.count) file descriptors are more than one process is started with")
        }
        let file = try MemoryFile.create("message", growth: .allowed)
        try file.write([UInt8](JSONEncoder().encode(value)), at: 0)
        guard try UnixSocket.send([0], attaching: [file] + attached, to: socket) == 1 else {
            throw HelperError("the connection takes no message")
        }
    }

    static func receive<Value: Decodable>(
        _ type: Value.Type,
        from socket: Descriptor,
        deadline: Duration
    ) throws -> (Value, [Descriptor]) {
        guard try Polling.wait(for: [.readable(socket.raw)], deadline: deadline)[0] else {
            throw HelperError("no answer within \(deadline)")
        }
        guard
            case .bytes(_, let attached) = try UnixSocket.receive(
                from: socket,
                limit: 16,
                attachments: UnixSocket.mostDescriptors
            ), let file = attached.first
        else { throw HelperError("the connection was closed without an answer") }
        let size = try file.size()
        guard size <= largest else { throw HelperError("a message of \(size) bytes is too long") }
        let value = try JSONDecoder().decode(type, from: Data(try file.read(at: 0, count: Int(size))))
        return (value, Array(attached.dropFirst()))
    }
}
