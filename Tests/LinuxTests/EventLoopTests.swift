import Dispatch
import Glibc
import Linux
import Synchronization
import Testing

struct EventLoopTests {
    private static let deadline = Duration.seconds(20)
    private let loop = EventLoop(label: "loop-test")

    /// Counts on the loop, and lets a test wait for a number.
    private final class Counter: Sendable {
        let count = Mutex(0)
        let (stream, source) = AsyncStream<Int>.makeStream()

        func add() {
            source.yield(
                count.withLock { count in
                    count += 1
                    return count
                }
            )
        }

        func wait(for number: Int) async { for await count in stream where count >= number { return } }
    }

    @Test func timersFireInTheirOrder() async {
        let order = Mutex<[Int]>([])
        let counter = Counter()
        let timers = [(2, 40), (1, 10), (3, 80)].map { number, delay in
            loop.after(.milliseconds(delay)) {
                order.withLock { $0.append(number) }
                counter.add()
            }
        }
        await counter.wait(for: 3)
        #expect(order.withLock { $0 } == [1, 2, 3])
        for timer in timers { timer.cancel() }
    }

    @Test func cancelledAndReleasedTimersDoNotFire() async {
        let fired = Mutex(false)
        let counter = Counter()
        let cancelled = loop.after(.milliseconds(5)) { fired.withLock { $0 = true } }
        cancelled.cancel()
        _ = loop.after(.milliseconds(5)) { fired.withLock { $0 = true } }
        let later = loop.after(.milliseconds(60)) { counter.add() }
        await counter.wait(for: 1)
        #expect(!fired.withLock { $0 })
        later.cancel()
    }

    @Test func repeats() async {
        let counter = Counter()
        let timer = loop.every(.milliseconds(2)) { counter.add() }
        await counter.wait(for: 3)
        timer.cancel()
    }

    @Test func durations() async {
        #expect(Duration.seconds(3).nanoseconds == 3_000_000_000)
        #expect(Duration.milliseconds(3).microseconds == 3_000)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        // The last second before saturation, with a fraction.
        #expect((Duration.seconds(9_223_372_036) + .nanoseconds(999_999_999)).nanoseconds == .max)
        let fired = Mutex(false)
        let counter = Counter()
        let never = loop.after(.seconds(Int64.max)) { fired.withLock { $0 = true } }
        let soon = loop.after(.milliseconds(20)) { counter.add() }
        await counter.wait(for: 1)
        #expect(!fired.withLock { $0 })
        for timer in [never, soon] { timer.cancel() }
    }

    @Test func readable() async throws {
        var (first, second): (Descriptor?, Descriptor) = try UnixSocket.pair()
        let error = await #expect(throws: EventLoop.DeadlinePassed.self) {
            try await loop.readable(second, deadline: .milliseconds(20))
        }
        #expect(error?.deadline == .milliseconds(20))
        #expect(try UnixSocket.send([1][...], to: #require(first)) == 1)
        try await loop.readable(second, deadline: Self.deadline)
        // It is readable as long as nobody has read.
        try await loop.readable(second, deadline: Self.deadline)
        _ = try UnixSocket.receive(from: second)
        first = nil
        try await loop.readable(second, deadline: Self.deadline)
    }

    /// Beside a watch of the other kind on the same descriptor.
    @Test func writable() async throws {
        let (one, other) = try UnixSocket.pair()
        let (reads, writes) = (Counter(), Counter())
        let piece = [UInt8](repeating: 1, count: 65_536)
        while try UnixSocket.send(piece[...], to: one) > 0 {}
        let readable = loop.whenReadable(one) { reads.add() }
        let writable = loop.whenWritable(one) { writes.add() }
        #expect(readable.isOf(one) && writable.isOf(one) && !writable.isOf(other))
        // The loop has looked when it has told of this.
        _ = try UnixSocket.send([1], to: other)
        await reads.wait(for: 1)
        #expect(writes.count.withLock { $0 } == 0)
        while case .bytes = try UnixSocket.receive(from: other) {}
        await writes.wait(for: 1)
        for watch in [readable, writable] { watch.cancel() }
    }

    @Test func watchKeepsItsDescriptorOpen() async throws {
        let counter = Counter()
        let (first, second) = try UnixSocket.pair()
        var watched: Descriptor? = second
        let watch = loop.whenReadable(second) { [raw = second.raw] in
            var byte: UInt8 = 0
            if read(raw, &byte, 1) == 1 { counter.add() }
        }
        watched = nil
        #expect(watched == nil)
        #expect(try UnixSocket.send([1][...], to: first) == 1)
        await counter.wait(for: 1)
        watch.cancel()
    }

    private actor Guarded {
        let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
        var value = 0

        init(_ loop: EventLoop) { self.loop = loop }

        func add() {
            loop.checkIsolated()
            value += 1
        }
    }

    @Test func actorsRunOnTheLoop() async {
        let actor = Guarded(loop)
        await withTaskGroup { group in
            for _ in 0..<100 { group.addTask { await actor.add() } }
        }
        #expect(await actor.value == 100)
    }

    @Test func blockingCalls() async throws {
        #expect(try await BlockingCalls.run { 7 } == 7)
        await #expect(throws: SystemCallError.self) {
            try await BlockingCalls.run { _ = try Descriptor.open("/nonexistent", O_RDONLY) }
        }
        try await BlockingCalls.run(on: loop, deadline: Self.deadline) {}
        let failure = SystemCallError("x", on: "y", code: EIO)
        await #expect(throws: failure) {
            try await BlockingCalls.run(on: loop, deadline: Self.deadline) { throw failure }
        }
    }

    /// The call goes on, and its late result is nobody's.
    @Test func blockingCallPastItsDeadline() async throws {
        let release = DispatchSemaphore(value: 0)
        let counter = Counter()
        await #expect(throws: EventLoop.DeadlinePassed.self) {
            try await BlockingCalls.run(on: loop, deadline: .milliseconds(20)) {
                release.wait()
                counter.add()
            }
        }
        release.signal()
        await counter.wait(for: 1)
    }
}
