import Glibc
import Linux
import SystemTestSupport

/// The least that a handover needs of QMP: commands as ready-made text, and answers told by how they begin.
struct FloorMonitor {
    private let socket: Descriptor
    private var buffer: [UInt8] = []
    private var events: [[UInt8]] = []

    /// - Parameter socket: one end of a pair; QEMU has the other.
    init(socket: Descriptor) throws {
        self.socket = socket
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        guard setsockopt(socket.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, size) == 0 else {
            throw SystemCallError("setsockopt", on: "QMP socket")
        }
        let greeting = try nextLine()
        guard Self.line(greeting, contains: "\"QMP\"") else { throw Self.failure(greeting) }
    }

    /// Sends a command and waits for its reply. Events that come before it are kept.
    mutating func execute(_ command: String, passing descriptor: Descriptor? = nil) throws {
        let bytes = Array(command.utf8)
        _ = try UnixSocket.send(bytes[...], attaching: descriptor.map { [$0] } ?? [], to: socket)
        while true {
            let line = try nextLine()
            if line.starts(with: Self.reply) { return }
            if line.starts(with: Self.error) { throw Self.failure(line) }
            events.append(line)
        }
    }

    /// Waits until a migration has come to its end, which must be the good one.
    mutating func awaitMigration() throws {
        while true {
            for event in events where Self.line(event, contains: "\"MIGRATION\"") {
                if Self.line(event, contains: "\"completed\"") { return }
                if Self.line(event, contains: "\"failed\"") { throw Self.failure(event) }
            }
            events.append(try nextLine())
        }
    }

    /// The time of the last event of that name since `forgetEvents`, in microseconds by QEMU's clock.
    mutating func time(of event: String) throws -> Int {
        while true {
            if let line = events.last(where: { Self.line($0, contains: "\"event\": \"\(event)\"") }) {
                let numbers = String(decoding: line.dropLast(), as: UTF8.self)
                    .split { !$0.isASCII || !$0.isNumber }.prefix(2).compactMap { Int($0) }
                guard numbers.count == 2 else { throw Self.failure(line) }
                return numbers[0] * 1_000_000 + numbers[1]
            }
            events.append(try nextLine())
        }
    }

    mutating func forgetEvents() { events = [] }

    private static let reply = Array("{\"return\"".utf8)
    private static let error = Array("{\"error\"".utf8)

    /// With a NUL at its end instead of the line feed.
    private mutating func nextLine() throws -> [UInt8] {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[..<end] + [0]
                buffer.removeSubrange(...end)
                return Array(line)
            }
            var failed = false
            let received = [UInt8](unsafeUninitializedCapacity: 65_536) { bytes, count in
                let got = recv(socket.raw, bytes.baseAddress, bytes.count, 0)
                failed = got < 0
                count = max(got, 0)
            }
            if failed { throw SystemCallError("recv", on: "QMP socket") }
            if received.isEmpty { throw CommandFailure(description: "QEMU closed its monitor.") }
            buffer += received
        }
    }

    private static func line(_ line: [UInt8], contains text: String) -> Bool {
        line.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { strstr($0.baseAddress!, text) != nil }
        }
    }

    private static func failure(_ line: [UInt8]) -> CommandFailure {
        CommandFailure(description: "QEMU answered \(String(decoding: line.dropLast(), as: UTF8.self))")
    }
}
