import Dispatch
import Foundation
import Glibc
import Linux
import Synchronization
import SystemTestSupport

/// The guest's heartbeat (`Tests/Guest/heartbeat.c`), seen from outside through the memory file of its RAM. The guest
/// counts up every millisecond while it runs.
final class Heartbeat: Sendable {
    private nonisolated(unsafe) let page: UnsafeMutableRawPointer
    private static let pageSize = 4096

    /// - Parameters:
    ///   - memory: the guest's only RAM block.
    ///   - boot: as the guest has reported itself to be.
    init(memory: Descriptor, boot: GuestConsole.Boot) throws {
        let offset = try Self.offset(of: boot.heartbeatAddress, memorySize: memory.size())
        let mapping = mmap(nil, Self.pageSize, PROT_READ, MAP_SHARED, memory.raw, off_t(offset))
        guard let mapping, mapping != MAP_FAILED else { throw SystemCallError("mmap", on: "the guest's RAM") }
        page = mapping
        guard mapping.load(as: UInt64.self) == boot.heartbeatMagic else {
            throw CommandFailure(description: "There is no heartbeat at guest address \(boot.heartbeatAddress).")
        }
    }

    deinit { munmap(page, Self.pageSize) }

    /// q35 puts what does not fit below the PCI hole above 4 GiB; from 2.75 GiB on, 2 GiB stay below.
    private static func offset(of address: UInt64, memorySize: UInt64) -> UInt64 {
        let low: UInt64 = memorySize >= 0xb000_0000 ? 0x8000_0000 : 0xb000_0000
        return address >= 1 << 32 ? address - 1 << 32 + low : address
    }

    /// The times between two beats while `body` runs, in milliseconds, including the last one begun in that time.
    func gaps(during body: () throws -> Void) throws -> [Double] {
        let watch = Watch(counter: (page + 8).assumingMemoryBound(to: Atomic<UInt64>.self))
        defer { watch.finished.wait() }
        Thread.detachNewThread { watch.run() }
        watch.begun.wait()
        do {
            defer { watch.isEnding.store(true, ordering: .relaxed) }
            try body()
        }
        watch.finished.wait()
        watch.finished.signal()
        guard let gaps = watch.result.withLock({ $0 }) else {
            throw CommandFailure(description: "The guest's heart has not beaten for 10 s.")
        }
        return gaps
    }

    /// One thread's look at the counter.
    private final class Watch: Sendable {
        private nonisolated(unsafe) let counter: UnsafePointer<Atomic<UInt64>>
        let begun = DispatchSemaphore(value: 0)
        let finished = DispatchSemaphore(value: 0)
        let isEnding = Atomic(false)
        /// nil when the heart has stopped.
        let result = Mutex<[Double]?>(nil)

        /// A guest that has just been thawed or continued may take some beats to find its pace.
        private static let beatsAfterEnd = 20
        private static let deadline = 10_000_000_000

        init(counter: UnsafePointer<Atomic<UInt64>>) { self.counter = counter }

        func run() {
            // Its looks are short; late ones would be taken for gaps of the guest.
            var priority = sched_param(sched_priority: 1)
            sched_setscheduler(0, SCHED_FIFO, &priority)
            let gaps = watch()
            result.withLock { $0 = gaps }
            begun.signal()
            finished.signal()
        }

        private func watch() -> [Double]? {
            var gaps: [Double] = []
            gaps.reserveCapacity(4096)
            var last = counter.pointee.load(ordering: .relaxed)
            var changedAt = monotonicNanoseconds()
            var hasBegun = false
            var left = Watch.beatsAfterEnd
            while left > 0 {
                var pause = timespec(tv_sec: 0, tv_nsec: 50_000)
                clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nil)
                let value = counter.pointee.load(ordering: .relaxed)
                let now = monotonicNanoseconds()
                if value == last {
                    if now - changedAt > Watch.deadline { return nil }
                    continue
                }
                if hasBegun {
                    gaps.append(Double(now - changedAt) / 1e6)
                } else {
                    hasBegun = true
                    begun.signal()
                }
                if isEnding.load(ordering: .relaxed) { left -= 1 }
                (last, changedAt) = (value, now)
            }
            return gaps
        }
    }
}

func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Runs `body` and returns how long it took, in milliseconds.
func milliseconds(_ body: () throws -> Void) rethrows -> Double {
    let begin = monotonicNanoseconds()
    try body()
    return Double(monotonicNanoseconds() - begin) / 1e6
}
