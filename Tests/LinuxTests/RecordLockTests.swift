import Foundation
import Glibc
import Linux
import Testing

struct RecordLockTests {
    /// From <fcntl.h>: a lock that belongs to an open file description, as one of another process would be seen.
    private static let setLock: Int32 = 37

    private let path = FileManager.default.temporaryDirectory.appendingPathComponent("lock-\(UUID())").path

    /// The lock goes when it is returned.
    private func lock(_ type: Int32) throws -> FileHandle {
        let handle = FileHandle(fileDescriptor: open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600), closeOnDealloc: true)
        var lock = flock()
        lock.l_type = Int16(type)
        lock.l_whence = Int16(SEEK_SET)
        try #require(fcntl(handle.fileDescriptor, RecordLockTests.setLock, &lock) == 0)
        return handle
    }

    @Test(arguments: [F_RDLCK, F_WRLCK]) func aLockIsSeenAndItsEndIsAwaited(type: Int32) async throws {
        defer { unlink(path) }
        let holder = try lock(type)
        let file = try Descriptor.open(path, O_RDONLY)
        #expect(try RecordLock.isHeld(on: file))
        let path = path
        async let release: Void = BlockingCalls.run { try RecordLock.waitUntilReleased(path, interval: .seconds(600)) }
        // Who opens and closes the file without having locked it ends no wait.
        for _ in 0..<3 { close(open(path, O_RDWR | O_CLOEXEC)) }
        #expect(try RecordLock.isHeld(on: file))
        try holder.close()
        try await release
        #expect(try !RecordLock.isHeld(on: file))
        try RecordLock.waitUntilReleased(path)
    }

    /// A holder that unlocks the file and keeps it open is found out a little later.
    @Test func anUnlockedFileThatStaysOpenEndsTheWait() async throws {
        defer { unlink(path) }
        let holder = try lock(F_WRLCK)
        let path = path
        async let release: Void = BlockingCalls.run {
            try RecordLock.waitUntilReleased(path, interval: .milliseconds(10))
        }
        var unlock = flock()
        unlock.l_type = Int16(F_UNLCK)
        #expect(fcntl(holder.fileDescriptor, RecordLockTests.setLock, &unlock) == 0)
        try await release
    }

    @Test func aFileThatIsNotThereIsAnError() {
        #expect(throws: SystemCallError.self) { try RecordLock.waitUntilReleased(path) }
    }
}
