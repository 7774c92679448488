import Foundation

/// Whoever reads a file halts there until this ends (fanotify(7)).
package final class ReadHalt: Sendable {
    /// From <sys/fanotify.h>, which Swift does not see.
    private static let contentClass: UInt32 = 0x4
    private static let closeOnExec: UInt32 = 0x1
    private static let add: UInt32 = 0x1
    private static let accessPermission: UInt64 = 0x2_0000
    private static let pidOffset = 20
    private static let eventSize = 24

    private let events: FileHandle

    package init(of path: String) throws {
        typealias Initialize = @convention(c) (UInt32, UInt32) -> Int32
        typealias Mark = @convention(c) (Int32, UInt32, UInt64, Int32, UnsafePointer<CChar>) -> Int32
        func function<F>(_ name: String, as type: F.Type) throws -> F {
            guard let symbol = dlsym(nil, name) else { throw CommandFailure(description: "There is no '\(name)'.") }
            return unsafeBitCast(symbol, to: type)
        }
        let initialize = try function("fanotify_init", as: Initialize.self)
        let mark = try function("fanotify_mark", as: Mark.self)
        let group = initialize(Self.contentClass | Self.closeOnExec, UInt32(O_RDONLY))
        guard group >= 0 else {
            throw CommandFailure(description: "fanotify_init: \(String(cString: strerror(errno)))")
        }
        events = FileHandle(fileDescriptor: group, closeOnDealloc: true)
        guard mark(group, Self.add, Self.accessPermission, AT_FDCWD, path) == 0 else {
            throw CommandFailure(description: "fanotify_mark '\(path)': \(String(cString: strerror(errno)))")
        }
    }

    /// Waits until a process reads, and returns its number on this machine. It halts.
    package func firstReader(deadline: Duration) async throws -> Int32 {
        let events = events
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                var entry = pollfd(fd: events.fileDescriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&entry, 1, Int32(deadline.components.seconds * 1000)) == 1,
                    let event = try? events.read(upToCount: Self.eventSize), event.count == Self.eventSize
                else {
                    return continuation.resume(
                        throwing: CommandFailure(description: "Waited \(deadline) in vain for a reader.")
                    )
                }
                continuation.resume(
                    returning: event.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: Self.pidOffset, as: Int32.self)
                    }
                )
            }
        }
    }

    /// Lets everyone read on.
    package func end() { try? events.close() }
}
