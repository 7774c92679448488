import Foundation
import Glibc
import SystemTestSupport

/// A connection to a socket of the guest's, with blocking calls that have a deadline.
final class SocketClient: @unchecked Sendable {
    private let socket: Int32
    private var buffer: [UInt8] = []

    init(_ path: String, deadlineSeconds: Int = 60) throws {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: deadlineSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            precondition(path.utf8.count < room.count, "the path '\(path)' is too long for a socket")
            room.copyBytes(from: path.utf8)
        }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            throw CommandFailure(description: "'\(path)' can't be connected to: \(String(cString: strerror(errno)))")
        }
    }

    deinit { Glibc.close(socket) }

    /// Nothing more is said or heard.
    func end() { shutdown(socket, Int32(SHUT_RDWR)) }

    func send(_ text: String) throws {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let sent = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if sent <= 0 { throw CommandFailure(description: "send: \(String(cString: strerror(errno)))") }
            bytes = bytes.dropFirst(sent)
        }
    }

    /// Nil at the end of the connection.
    func receive(_ count: Int) throws -> [UInt8]? {
        while buffer.count < count {
            guard try fill() else { return nil }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    /// A line without its end.
    func line() throws -> String? {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                defer { buffer.removeFirst(end + 1) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            guard try fill() else { return nil }
        }
    }

    /// Whether more has come; not where the connection has ended.
    private func fill() throws -> Bool {
        var room = [UInt8](repeating: 0, count: 65_536)
        let got = recv(socket, &room, room.count, 0)
        if got < 0, errno != ECONNRESET {
            throw CommandFailure(description: "recv: \(String(cString: strerror(errno)))")
        }
        if got > 0 { buffer += room[..<got] }
        return got > 0
    }
}
