import CLinux
import Glibc
import Synchronization

/// A thread that waits for descriptors and timers, and that actors run on: everything that shares an event loop is
/// ordered, without locks.
///
/// It is not Dispatch, whose read sources on Linux use freed memory after a hang-up that comes without data, which is
/// how every socket to an ended QEMU and every pipe of a successful exec ends.
///
/// A task that the loop was told to `spawn` stays on its thread throughout. Another task is resumed, after each wait, on
/// a thread of the runtime's pool, only to be sent back.
public final class EventLoop: SerialExecutor, TaskExecutor {
    private struct Work {
        var jobs: [UnownedJob] = []
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var timers: [UInt64: Schedule] = [:]
        var lastToken: UInt64 = 0
        var isWoken = false
    }

    private struct Schedule {
        var due: ContinuousClock.Instant
        let interval: Duration?
        let handler: @Sendable () -> Void
    }

    private static let wakeToken: UInt64 = 0

    private let epoll: Descriptor
    private let wakeUp: Descriptor
    private let work = Mutex(Work())
    private let thread = Mutex<pthread_t?>(nil)

    /// Starts the loop's thread, which runs as long as the process does. It inherits the caller's signal mask.
    public init(label: String) {
        guard let epoll = try? Descriptor(owning: check("epoll_create1", on: label, clinux_epoll_create)),
            let wakeUp = try? Descriptor(owning: check("eventfd", on: label, clinux_eventfd)),
            clinux_epoll_add(epoll.raw, wakeUp.raw, EventLoop.wakeToken) == 0
        else { fatalError("the event loop '\(label)' can't be made: \(String(cString: strerror(errno)))") }
        self.epoll = epoll
        self.wakeUp = wakeUp
        do {
            try DetachedThread.start { self.run() }
        } catch {
            fatalError("the event loop '\(label)' has no thread: \(error)")
        }
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        wake { $0.jobs.append(unowned) }
    }

    public func checkIsolated() { precondition(isCurrent, "not on the event loop") }

    /// Makes a task of `body`, which is isolated as its surroundings are.
    public func spawn(
        @_inheritActorContext @_implicitSelfCapture _ body: sending @escaping @isolated(any) () async -> Void
    ) {
        Task(executorPreference: self, operation: body)
    }

    private var isCurrent: Bool { thread.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }

    // MARK: Timers and descriptors

    /// Calls `handler` on the loop once after `delay`, unless the timer is cancelled or released before.
    public func after(_ delay: Duration, _ handler: @escaping @Sendable () -> Void) -> Timer {
        schedule(Schedule(due: .now + delay, interval: nil, handler: handler))
    }

    /// Calls `handler` on the loop every `interval` until the timer is cancelled or released.
    public func every(_ interval: Duration, _ handler: @escaping @Sendable () -> Void) -> Timer {
        schedule(Schedule(due: .now + interval, interval: interval, handler: handler))
    }

    /// Calls `handler` on the loop whenever `descriptor` is readable, hung up or in error, until the watch is cancelled
    /// or released. A descriptor can have one watch at a time.
    public func whenReadable(_ descriptor: Descriptor, _ handler: @escaping @Sendable () -> Void) -> ReadWatch {
        let token = work.withLock { work in
            work.lastToken += 1
            work.handlers[work.lastToken] = handler
            return work.lastToken
        }
        let added = clinux_epoll_add(epoll.raw, descriptor.raw, token)
        precondition(added == 0, "fd \(descriptor.raw) can't be watched: \(String(cString: strerror(errno)))")
        return ReadWatch(loop: self, descriptor: descriptor, token: token)
    }

    /// Likewise whenever `descriptor` can be written to, beside a watch that waits until it is readable.
    public func whenWritable(_ descriptor: Descriptor, _ handler: @escaping @Sendable () -> Void) -> ReadWatch {
        let token = work.withLock { work in
            work.lastToken += 1
            work.handlers[work.lastToken] = handler
            return work.lastToken
        }
        // The kernel has one watch for each number.
        guard let twin = try? descriptor.duplicate(), clinux_epoll_add_writable(epoll.raw, twin.raw, token) == 0 else {
            preconditionFailure("fd \(descriptor.raw) can't be watched: \(String(cString: strerror(errno)))")
        }
        return ReadWatch(loop: self, descriptor: twin, of: descriptor, token: token)
    }

    private func schedule(_ schedule: Schedule) -> Timer {
        let token = wake { work in
            work.lastToken += 1
            work.timers[work.lastToken] = schedule
            return work.lastToken
        }
        return Timer(loop: self, token: token)
    }

    fileprivate func cancelTimer(_ token: UInt64) { _ = work.withLock { $0.timers.removeValue(forKey: token) } }

    fileprivate func cancelWatch(_ token: UInt64, _ descriptor: Descriptor) {
        let known = work.withLock { $0.handlers.removeValue(forKey: token) != nil }
        if known { _ = clinux_epoll_remove(epoll.raw, descriptor.raw) }
    }

    /// Changes what there is to do and makes the loop look at it.
    private func wake<Result: Sendable>(_ change: (inout sending Work) -> sending Result) -> Result {
        let isCurrent = isCurrent
        let (result, mustRaise) = work.withLock { work in
            let result = change(&work)
            // On its own thread the loop looks again before it waits.
            let mustRaise = !isCurrent && !work.isWoken
            if mustRaise { work.isWoken = true }
            return (result, mustRaise)
        }
        if mustRaise { _ = clinux_eventfd_raise(wakeUp.raw) }
        return result
    }

    // MARK: The loop

    private func run() {
        thread.withLock { $0 = pthread_self() }
        var tokens = [UInt64](repeating: 0, count: 64)
        while true {
            runJobs()
            fireTimers()
            let count = clinux_epoll_wait(epoll.raw, &tokens, Int32(tokens.count), timeout())
            if count < 0 { fatalError("epoll_wait: \(String(cString: strerror(errno)))") }
            for token in tokens.prefix(Int(count)) {
                if token == EventLoop.wakeToken {
                    _ = clinux_eventfd_lower(wakeUp.raw)
                    work.withLock { $0.isWoken = false }
                } else {
                    // Gone where an event before this one has cancelled the watch.
                    let handler = work.withLock { $0.handlers[token] }
                    handler?()
                    runJobs()
                }
            }
        }
    }

    private func runJobs() {
        while true {
            let jobs = work.withLock { work in
                defer { work.jobs = [] }
                return work.jobs
            }
            if jobs.isEmpty { return }
            for job in jobs {
                job.runSynchronously(
                    isolatedTo: asUnownedSerialExecutor(),
                    taskExecutor: asUnownedTaskExecutor()
                )
            }
        }
    }

    private func fireTimers() {
        let now = ContinuousClock.now
        let due = work.withLock { $0.timers.filter { $0.value.due <= now }.sorted { $0.value.due < $1.value.due } }
        for (token, _) in due {
            // Gone where one before this one has cancelled it.
            let handler = work.withLock { work -> (@Sendable () -> Void)? in
                guard let timer = work.timers.removeValue(forKey: token) else { return nil }
                if let interval = timer.interval {
                    work.timers[token] = Schedule(due: now + interval, interval: interval, handler: timer.handler)
                }
                return timer.handler
            }
            handler?()
            runJobs()
        }
    }

    /// Milliseconds until the next timer is due, rounded up; -1 where there is none.
    private func timeout() -> Int32 {
        let next = work.withLock { work in work.jobs.isEmpty ? work.timers.values.map(\.due).min() : .now }
        guard let next else { return -1 }
        let left = next - .now
        return left <= .zero ? 0 : Int32(clamping: left.nanoseconds / 1_000_000 + 1)
    }
}

/// A timer on an `EventLoop`.
public final class Timer: Sendable {
    private let loop: EventLoop
    private let token: UInt64

    fileprivate init(loop: EventLoop, token: UInt64) {
        self.loop = loop
        self.token = token
    }

    deinit { cancel() }

    public func cancel() { loop.cancelTimer(token) }
}

/// A watch on a descriptor, which stays open at least as long.
public final class ReadWatch: Sendable {
    private let loop: EventLoop
    private let descriptor: Descriptor
    private let subject: Descriptor
    private let token: UInt64

    /// - Parameter subject: what the watch was asked for, where `descriptor` stands for it.
    fileprivate init(loop: EventLoop, descriptor: Descriptor, of subject: Descriptor? = nil, token: UInt64) {
        self.loop = loop
        self.descriptor = descriptor
        self.subject = subject ?? descriptor
        self.token = token
    }

    public func isOf(_ descriptor: Descriptor) -> Bool { subject === descriptor }

    deinit { cancel() }

    public func cancel() { loop.cancelWatch(token, descriptor) }
}

extension EventLoop {
    public struct DeadlinePassed: Error, CustomStringConvertible {
        public let deadline: Duration
        public var description: String { "nothing happened within \(deadline)" }
    }

    /// Returns once `descriptor` is readable, hung up or in error.
    public func readable(_ descriptor: Descriptor, deadline: Duration) async throws {
        let (events, source) = AsyncStream.makeStream(of: Bool.self)
        let watch = whenReadable(descriptor) { source.yield(true) }
        let timer = after(deadline) { source.yield(false) }
        defer {
            watch.cancel()
            timer.cancel()
        }
        for await isReadable in events {
            if isReadable { return }
            break
        }
        throw DeadlinePassed(deadline: deadline)
    }
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
