import CLinux
import Dispatch
import Glibc

/// One serial queue that actors run on: everything that shares an event loop is ordered, without locks.
public final class EventLoop: SerialExecutor {
    public let queue: DispatchQueue

    public init(label: String) { queue = DispatchQueue(label: label, qos: .userInteractive) }

    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        queue.async { unowned.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    public func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

    /// Calls `handler` on the loop once after `delay`, unless the timer is cancelled or released before.
    public func after(_ delay: Duration, _ handler: @escaping @Sendable () -> Void) -> Timer {
        let source = DispatchSource.makeTimerSource(queue: queue)
        source.schedule(deadline: .now() + .nanoseconds(delay.nanoseconds), leeway: .milliseconds(1))
        return Timer(source, handler)
    }

    /// Calls `handler` on the loop every `interval` until the timer is cancelled or released.
    public func every(_ interval: Duration, _ handler: @escaping @Sendable () -> Void) -> Timer {
        let source = DispatchSource.makeTimerSource(queue: queue)
        let nanoseconds = interval.nanoseconds
        source.schedule(
            deadline: .now() + .nanoseconds(nanoseconds),
            repeating: .nanoseconds(nanoseconds),
            leeway: .milliseconds(100)
        )
        return Timer(source, handler)
    }

    /// Calls `handler` on the loop whenever `descriptor` is readable, until the watch is cancelled or released.
    public func whenReadable(_ descriptor: Descriptor, _ handler: @escaping @Sendable () -> Void) -> ReadWatch {
        ReadWatch(descriptor, queue: queue, handler)
    }
}

/// A timer on an `EventLoop`.
public final class Timer: Sendable {
    // libdispatch's objects may be used from any thread.
    nonisolated(unsafe) private let source: any DispatchSourceTimer

    init(_ source: any DispatchSourceTimer, _ handler: @escaping @Sendable () -> Void) {
        self.source = source
        source.setEventHandler(handler: handler)
        source.resume()
    }

    deinit { source.cancel() }

    public func cancel() { source.cancel() }
}

/// A watch on a descriptor, which stays open at least as long.
public final class ReadWatch: Sendable {
    // libdispatch's objects may be used from any thread.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    init(_ descriptor: Descriptor, queue: DispatchQueue, _ handler: @escaping @Sendable () -> Void) {
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor.raw, queue: queue)
        source.setEventHandler(handler: handler)
        // The descriptor may be closed only when epoll has let go of it.
        source.setCancelHandler { withExtendedLifetime(descriptor) {} }
        source.resume()
    }

    deinit { source.cancel() }

    public func cancel() { source.cancel() }
}

extension Duration {
    /// Saturates at about 292 years.
    public var nanoseconds: Int {
        let (seconds, attoseconds) = components
        let (product, isTooLong) = Int(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow) = product.addingReportingOverflow(Int(attoseconds / 1_000_000_000))
        return isTooLong || overflow ? .max : sum
    }

    public var microseconds: Int { nanoseconds / 1_000 }
}

extension EventLoop {
    public struct DeadlinePassed: Error, CustomStringConvertible {
        public let deadline: Duration
        public var description: String { "nothing happened within \(deadline)" }
    }

    /// Returns once `descriptor` is readable. Call it on the loop.
    public func readable(_ descriptor: Descriptor, deadline: Duration) async throws {
        let box = Once()
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            queue.async {
                box.continuation = continuation
                box.watch = self.whenReadable(descriptor) { box.finish(.success(())) }
                box.timer = self.after(deadline) { box.finish(.failure(DeadlinePassed(deadline: deadline))) }
            }
        }
    }

    /// Used on one loop's queue only.
    private final class Once: @unchecked Sendable {
        var continuation: CheckedContinuation<Void, any Error>?
        var watch: ReadWatch?
        var timer: Timer?

        func finish(_ result: Result<Void, any Error>) {
            let waiting = continuation
            (continuation, watch, timer) = (nil, nil, nil)
            waiting?.resume(with: result)
        }
    }
}
