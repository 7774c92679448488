import FoundationEssentials
import Glibc
import Linux

/// What 'perdure adopt' offers the supervisor that it has started, and what becomes of it.
///
/// The command listens on a socket of the guest's for as long as it waits; a supervisor that has nothing of the guest
/// looks there once. What would be left of a command that has died is a socket that nobody answers at.
public struct AdoptionLink: Sendable {
    /// Only root may enter it.
    public static let directory = "/run/perdure-adopt"

    public static func path(of guest: String) -> String { "\(directory)/\(guest)" }

    public struct Verdict: Codable, Equatable, Sendable {
        /// Why it was not taken over; nil where it was.
        public var reason: String?

        public init(reason: String?) { self.reason = reason }
    }

    public struct Offer: Sendable {
        public let machine: ForeignMachine
        /// The connection to its monitor.
        public let monitor: Descriptor
        public let ram: Descriptor
        /// /proc/PID/maps of the process: a supervisor may not open it.
        public let maps: Descriptor

        public init(machine: ForeignMachine, monitor: Descriptor, ram: Descriptor, maps: Descriptor) {
            (self.machine, self.monitor, self.ram, self.maps) = (machine, monitor, ram, maps)
        }
    }

    private struct Broken: Error, CustomStringConvertible {
        let description: String
    }

    /// More than any message has.
    private static let longest = 64 << 10

    private let socket: Descriptor

    public init(socket: Descriptor) { self.socket = socket }

    /// Nil where nobody offers anything.
    init?(guest: String) {
        guard let socket = try? UnixSocket.connect(AdoptionLink.path(of: guest)) else { return nil }
        self.init(socket: socket)
    }

    // MARK: The command's side

    public func offer(_ offer: Offer) throws {
        try send(offer.machine, attaching: [offer.monitor, offer.ram, offer.maps])
    }

    /// Nil where the supervisor has ended without a word.
    public func verdict(loop: EventLoop, deadline: Duration) async throws -> Verdict? {
        guard let (bytes, _) = try await receive(loop, deadline) else { return nil }
        return try JSONDecoder().decode(Verdict.self, from: Data(bytes))
    }

    // MARK: The supervisor's side

    func offer(loop: EventLoop, deadline: Duration) async throws -> Offer {
        guard let (bytes, descriptors) = try await receive(loop, deadline), descriptors.count == 3 else {
            throw Broken(description: "'perdure adopt' has ended")
        }
        return Offer(
            machine: try JSONDecoder().decode(ForeignMachine.self, from: Data(bytes)),
            monitor: descriptors[0],
            ram: descriptors[1],
            maps: descriptors[2]
        )
    }

    /// Whoever does not wait any more need not be told.
    func tell(_ verdict: Verdict) { try? send(verdict) }

    // MARK: Messages

    private func send(_ message: some Encodable, attaching attached: [Descriptor] = []) throws {
        let bytes = try [UInt8](JSONEncoder().encode(message)) + [UInt8(ascii: "\n")]
        guard bytes.count <= AdoptionLink.longest,
            try UnixSocket.send(bytes[...], attaching: attached, to: socket) == bytes.count
        else { throw Broken(description: "'perdure adopt' and the supervisor can't talk to each other") }
    }

    private func receive(_ loop: EventLoop, _ deadline: Duration) async throws -> ([UInt8], [Descriptor])? {
        let end = ContinuousClock.now + deadline
        var (bytes, descriptors): ([UInt8], [Descriptor]) = ([], [])
        while bytes.last != UInt8(ascii: "\n") {
            try await loop.readable(socket, deadline: max(.zero, end - .now))
            switch try UnixSocket.receive(from: socket) {
            case .nothingYet: continue
            case .endOfStream: return nil
            case .bytes(let more, let attached):
                bytes += more
                descriptors += attached
                guard bytes.count <= AdoptionLink.longest else { throw Broken(description: "the message is too long") }
            }
        }
        return (bytes, descriptors)
    }
}
