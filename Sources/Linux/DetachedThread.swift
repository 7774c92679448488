import Glibc

/// A thread that nobody waits for. Dispatch's would do, were it not that its pool, once used, wakes every second for as
/// long as the process lives.
enum DetachedThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new thread, which inherits the caller's signal mask.
    static func start(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) {
        let context = Unmanaged.passRetained(Body(body))
        var started = pthread_t()
        let failure = pthread_create(
            &started,
            nil,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            },
            context.toOpaque()
        )
        guard failure == 0 else {
            context.release()
            throw SystemCallError("pthread_create", on: "this process", code: failure)
        }
        pthread_detach(started)
    }
}
