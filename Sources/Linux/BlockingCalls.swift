import Dispatch
import Synchronization

/// Runs calls that may block on a queue of their own, so that an event loop never waits for them.
public enum BlockingCalls {
    private static let queue = DispatchQueue(label: "perdure.blocking", attributes: .concurrent)

    public static func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result(catching: body)) }
        }
    }

    /// Gives up waiting when the deadline has passed; the call itself can't be ended and may go on.
    public static func run<Result: Sendable>(
        deadline: Duration,
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            let waiting = Waiting(continuation)
            queue.async { waiting.resume(with: Swift.Result(catching: body)) }
            queue.asyncAfter(deadline: .now() + .nanoseconds(deadline.nanoseconds)) {
                waiting.resume(with: .failure(EventLoop.DeadlinePassed(deadline: deadline)))
            }
        }
    }

    /// A continuation that the first of two resumes.
    private final class Waiting<Value: Sendable>: Sendable {
        private let continuation: Mutex<CheckedContinuation<Value, any Error>?>

        init(_ continuation: CheckedContinuation<Value, any Error>) { self.continuation = Mutex(continuation) }

        func resume(with result: Result<Value, any Error>) {
            let first = continuation.withLock { stored in
                defer { stored = nil }
                return stored
            }
            first?.resume(with: result)
        }
    }
}
