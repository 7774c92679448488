import Glibc
import Linux
import Varlink

/// The guest's control socket: answers Varlink calls of whoever has a right to them.
final class ControlServer {
    static let maximumConnections = 32
    /// Of those, at most so many are of users who may only watch: they can't keep the others out.
    static let maximumWatchers = 16
    /// Its members may connect. Where there is no such group, only the owner may.
    private static let watchers = "perdure"

    private let path: String
    private let listener: Descriptor
    private let loop: EventLoop
    private unowned let supervisor: GuestSupervisor
    private var watch: ReadWatch?
    private var connections: [ObjectIdentifier: ControlConnection] = [:]

    init(path: String, supervisor: GuestSupervisor, loop: EventLoop) throws {
        self.path = path
        self.supervisor = supervisor
        self.loop = loop
        let group = geteuid() == 0 ? UserGroup.number(of: ControlServer.watchers) : nil
        listener = try UnixSocket.listen(path, mode: group == nil ? 0o600 : 0o660, group: group)
        watch = loop.whenReadable(listener) { [weak supervisor] in
            supervisor?.assumeIsolated { $0.control?.accept() }
        }
    }

    func close() {
        watch = nil
        connections = [:]
        unlink(path)
    }

    private func accept() {
        while let socket = try? UnixSocket.accept(listener) {
            guard connections.count < ControlServer.maximumConnections, let user = try? UnixSocket.peerUser(socket)
            else { continue }
            let rights = ControlServer.rights(ofUser: user)
            let watching = connections.values.count { $0.rights == [.watch] }
            guard rights != [.watch] || watching < ControlServer.maximumWatchers else { continue }
            let connection = ControlConnection(socket: socket, rights: rights, supervisor: supervisor)
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

    /// By the peer's credentials, as they were when it connected. Who could connect and is not the owner is in the group.
    private static func rights(ofUser user: UInt32) -> Set<GuestInterface.Right> {
        user == 0 || user == geteuid() ? Set(GuestInterface.Right.allCases) : [.watch]
    }

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

    func drop(_ connection: ControlConnection) { connections[ObjectIdentifier(connection)] = nil }
}
