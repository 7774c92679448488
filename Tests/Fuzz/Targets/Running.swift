import Dispatch
import Synchronization

/// Something asynchronous that a thread which is not may wait for.
final class Running<Value: Sendable>: Sendable {
    static var deadlineMilliseconds: Int32 { 20_000 }

    private let result = Mutex<Result<Value, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () async throws -> Value) {
        Task.detached { [self] in
            let value: Result<Value, any Error>
            do { value = .success(try await body()) } catch { value = .failure(error) }
            result.withLock { $0 = value }
            done.signal()
        }
    }

    /// Blocks.
    func wait() throws -> Value {
        let deadline = DispatchTime.now() + .milliseconds(Int(Self.deadlineMilliseconds))
        guard done.wait(timeout: deadline) == .success, let result = result.withLock({ $0 }) else {
            throw Violation("it takes longer than \(Self.deadlineMilliseconds) ms")
        }
        return try result.get()
    }
}
