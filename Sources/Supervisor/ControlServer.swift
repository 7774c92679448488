import Glibc
import Linux
import Systemd
import Varlink

/// The guest's control socket: answers Varlink calls of whoever has a right to them.
final class ControlServer {
    static let maximumConnections = 32
    /// Of those, at most so many are of users who own no guest: they can't keep the others out.
    static let maximumWatchers = 16
    /// How many calls may wait for polkit at a time, each with a thread.
    static let maximumAsking = 8
    /// Its members may connect. Where there is no such group, only the owner may.
    private static let watchers = "perdure"

    private let path: String
    private let listener: Descriptor
    private let loop: EventLoop
    private unowned let supervisor: GuestSupervisor
    private var watch: ReadWatch?
    private var connections: [ObjectIdentifier: ControlConnection] = [:]
    private var asking = 0

    init(path: String, supervisor: GuestSupervisor, loop: EventLoop) throws {
        self.path = path
        self.supervisor = supervisor
        self.loop = loop
        let group = geteuid() == 0 && !Locations.current.isUser ? UserGroup.number(of: ControlServer.watchers) : nil
        listener = try UnixSocket.listen(path, mode: group == nil ? 0o600 : 0o660, group: group)
        watch = loop.whenReadable(listener) { [weak supervisor] in
            supervisor?.assumeIsolated { $0.control?.accept() }
        }
    }

    func close() {
        watch = nil
        for connection in connections.values { drop(connection) }
        unlink(path)
    }

    private func accept() {
        while let socket = try? UnixSocket.accept(listener) {
            guard connections.count < ControlServer.maximumConnections, let peer = ControlServer.peer(socket) else {
                continue
            }
            let members = connections.values.count { !$0.peer.isOwner }
            guard peer.isOwner || members < ControlServer.maximumWatchers else { continue }
            let connection = ControlConnection(socket: socket, peer: peer, supervisor: supervisor)
            let key = ObjectIdentifier(connection)
            connections[key] = connection
            connection.watch = loop.whenReadable(socket) { [weak supervisor] in
                supervisor?.assumeIsolated { supervisor in
                    guard let server = supervisor.control, let connection = server.connections[key] else { return }
                    if !connection.readable(supervisor) { server.drop(connection) }
                }
            }
        }
    }

    /// By the peer's credentials, as they were when it connected. Nil where it has gone already.
    private static func peer(_ socket: Descriptor) -> ControlConnection.Peer? {
        guard let user = try? UnixSocket.peerUser(socket) else { return nil }
        if user == 0 || user == geteuid() { return .owner }
        return (try? ProcessHandle(peerOf: socket)).map { .member(Authority.Subject(process: $0, user: user)) }
    }

    /// Whether one more call may wait for polkit.
    func startAsking() -> Bool {
        guard asking < ControlServer.maximumAsking else { return false }
        asking += 1
        return true
    }

    func endAsking() { asking -= 1 }

    /// Tells those who want to know.
    func statusChanged(_ supervisor: isolated GuestSupervisor) {
        let monitors = connections.values.filter(\.isMonitoring)
        if monitors.isEmpty { return }
        let status = supervisor.status
        for connection in monitors where !connection.tell(status) { drop(connection) }
    }

    /// Whoever is attached to the console of a guest that is no more looks for the next one's.
    func dropConsoles() {
        for connection in connections.values.filter(\.hasConsole) { drop(connection) }
    }

    func drop(_ connection: ControlConnection) {
        connection.giveUp()
        connections[ObjectIdentifier(connection)] = nil
    }
}
