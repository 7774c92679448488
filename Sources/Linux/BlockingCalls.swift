import Synchronization

/// Runs calls that may block on threads of their own, so that an event loop never waits for them.
public enum BlockingCalls {
    /// Throws what `body` throws, or `SystemCallError` where no thread can be had.
    public static func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { start(body, Waiting($0)) }
    }

    /// Gives up waiting with `EventLoop.DeadlinePassed`; the call itself can't be ended and may go on.
    public static func run<Result: Sendable>(
        on loop: EventLoop,
        deadline: Duration,
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        var timer: Timer?
        defer { timer?.cancel() }
        return try await withCheckedThrowingContinuation { continuation in
            let waiting = Waiting(continuation)
            timer = loop.after(deadline) {
                waiting.resume(with: .failure(EventLoop.DeadlinePassed(deadline: deadline)))
            }
            start(body, waiting)
        }
    }

    private static func start<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result,
        _ waiting: Waiting<Result>
    ) {
        do {
            try DetachedThread.start { waiting.resume(with: Swift.Result(catching: body)) }
        } catch {
            waiting.resume(with: .failure(error))
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
