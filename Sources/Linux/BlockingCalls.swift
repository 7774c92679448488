import Dispatch

/// Runs calls that may block on a queue of their own, so that an event loop never waits for them.
public enum BlockingCalls {
    private static let queue = DispatchQueue(label: "perdure.blocking", attributes: .concurrent)

    public static func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result(catching: body)) }
        }
    }
}
