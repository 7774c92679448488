import Glibc
import Lifecycle
import Linux

/// Passes bytes between whoever connects to the guest's agent socket and the guest agent.
///
/// The guest's end of the channel is inherited by every VM process, so nothing in it is lost when one follows another.
/// QEMU reads from it also while the guest is paused, and puts what it reads into the guest's memory at once: bytes that
/// come between a save and a load would spoil what has been saved. So while the guest is handed over nothing waits there
/// to be read: what QEMU has not taken yet is taken back, and goes to the VM process that runs the guest afterwards.
final class AgentChannel {
    /// What is held of each direction, at most; the rest waits in the sockets.
    private static let piece = 32 << 10

    private let path: String
    private let listener: Descriptor
    /// Ends of one socket pair: the supervisor's, and that which VM processes have.
    private let ours: Descriptor
    private let theirs: Descriptor
    private let loop: EventLoop
    private unowned let supervisor: GuestSupervisor
    private var client: Descriptor?
    private var isClientDone = false
    private var isHeld = false
    private var toGuest: ArraySlice<UInt8> = []
    private var toClient: ArraySlice<UInt8> = []
    private var watches: [Watch: ReadWatch] = [:]

    private enum Watch: CaseIterable {
        case listener, guestSpeaks, guestListens, clientSpeaks, clientListens
    }

    /// - Parameter path: where the socket is made that clients connect to, one at a time.
    init(path: String, ours: Descriptor, theirs: Descriptor, supervisor: GuestSupervisor, loop: EventLoop) throws {
        (self.path, self.ours, self.theirs) = (path, ours, theirs)
        (self.supervisor, self.loop) = (supervisor, loop)
        listener = try UnixSocket.listen(path, mode: 0o600)
        // What a client of an earlier supervisor has left is nobody's any more.
        _ = AgentChannel.takeBack(from: theirs)
        watch()
    }

    func close() {
        watches = [:]
        client = nil
        unlink(path)
    }

    /// From here on nothing goes to the guest, and nothing is left for a VM process to read.
    func hold() {
        isHeld = true
        toGuest = AgentChannel.takeBack(from: theirs) + toGuest
        watch()
    }

    func release() {
        guard isHeld else { return }
        isHeld = false
        advance()
    }

    /// All that waits to be read from a VM process's end of the channel.
    static func takeBack(from end: Descriptor) -> ArraySlice<UInt8> {
        var taken: ArraySlice<UInt8> = []
        while case .bytes(let bytes, _)? = try? UnixSocket.receive(from: end, limit: piece) { taken += bytes }
        return taken
    }

    /// Does what can be done without waiting, one piece of each at most.
    func advance() {
        acceptClient()
        if toClient.isEmpty, case .bytes(let bytes, _)? = try? UnixSocket.receive(from: ours, limit: Self.piece) {
            // Without a client nobody wants to know.
            if client != nil { toClient = bytes }
        }
        if let client, !toClient.isEmpty {
            if let sent = try? UnixSocket.send(toClient, to: client) {
                toClient = toClient.dropFirst(sent)
            } else {
                drop()
            }
        }
        if !isHeld, toGuest.isEmpty { hearClient() }
        if !isHeld, !toGuest.isEmpty, let sent = try? UnixSocket.send(toGuest, to: ours) {
            toGuest = toGuest.dropFirst(sent)
        }
        watch()
    }

    private func hearClient() {
        guard let client, !isClientDone else { return }
        switch try? UnixSocket.receive(from: client, limit: Self.piece) {
        case .bytes(let bytes, _): toGuest = bytes
        case .nothingYet: break
        // It may still read: what it has asked for is answered.
        case .endOfStream: isClientDone = true
        case nil: drop()
        }
    }

    /// The next client takes the place of one that has nothing more to say.
    private func acceptClient() {
        while client == nil || isClientDone {
            guard let socket = try? UnixSocket.accept(listener) else { return }
            guard let user = try? UnixSocket.peerUser(socket), user == 0 || user == geteuid() else { continue }
            drop()
            client = socket
        }
    }

    /// Takes the place of a client.
    /// - Returns: the client's end of the connection; nil where somebody has it, or waits for it.
    func connect() throws -> Descriptor? {
        acceptClient()
        guard client == nil || isClientDone else { return nil }
        drop()
        let (end, other) = try UnixSocket.pair()
        client = other
        watch()
        return end
    }

    /// Forgets a client, and what it had asked for and nobody has heard.
    private func drop() {
        (client, isClientDone) = (nil, false)
        (toClient, toGuest) = ([], [])
        _ = AgentChannel.takeBack(from: theirs)
    }

    private func watch() {
        for kind in Watch.allCases {
            let wanted: Descriptor? =
                switch kind {
                case .listener: client == nil || isClientDone ? listener : nil
                case .guestSpeaks: toClient.isEmpty ? ours : nil
                case .guestListens: toGuest.isEmpty || isHeld ? nil : ours
                case .clientSpeaks: toGuest.isEmpty && !isHeld && !isClientDone ? client : nil
                case .clientListens: toClient.isEmpty ? nil : client
                }
            guard let wanted else {
                watches[kind] = nil
                continue
            }
            if watches[kind]?.isOf(wanted) == true { continue }
            watches[kind] = nil
            let advance: @Sendable () -> Void = { [weak supervisor] in
                supervisor?.assumeIsolated { $0.agent?.advance() }
            }
            let isToWrite = kind == .guestListens || kind == .clientListens
            watches[kind] = isToWrite ? loop.whenWritable(wanted, advance) : loop.whenReadable(wanted, advance)
        }
    }
}

extension GuestSupervisor {
    /// Clients are served while the guest runs, and wait while it is saved or handed over.
    func openAgentChannel() {
        guard case .standing(.running) = lifecycle.state else { return }
        if let agent { return agent.release() }
        guard let ours = inventory[Inventory.agent], let theirs = inventory[Inventory.agentPeer] else { return }
        do {
            agent = try AgentChannel(
                path: "\(runtimeDirectory)/agent",
                ours: ours,
                theirs: theirs,
                supervisor: self,
                loop: loop
            )
        } catch {
            journal(.channelFailed("the guest agent", "\(error)"))
        }
    }

    func holdAgentChannel() {
        if let agent { return agent.hold() }
        // Left by a client of an earlier supervisor.
        if let theirs = inventory[Inventory.agentPeer] { _ = AgentChannel.takeBack(from: theirs) }
    }

    func closeAgentChannel() {
        agent?.close()
        agent = nil
    }
}
