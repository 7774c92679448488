import Glibc
import Linux

/// The guest's control socket: answers Varlink calls of its owner.
final class ControlServer {
    static let maximumConnections = 32

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
        listener = try UnixSocket.listen(path, mode: 0o600)
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
            guard connections.count < ControlServer.maximumConnections, let user = try? UnixSocket.peerUser(socket),
                user == 0 || user == geteuid()
            else { continue }
            let connection = ControlConnection(socket: socket, supervisor: supervisor)
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

    func drop(_ connection: ControlConnection) { connections[ObjectIdentifier(connection)] = nil }
}
