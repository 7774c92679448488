import CLinux
import Glibc
import Linux
import Synchronization
import Systemd

/// Asks for passwords on this program's terminal when polkit wants one (pkttyagent(1)). A desktop's own agent goes before it.
enum PasswordAgent {
    private static let program = "/usr/bin/pkttyagent"
    /// How long it may take until it can be asked.
    private static let deadline = Duration.seconds(10)

    private static let isWanted = Mutex(true)

    /// Before the first call only.
    static func leaveOut() { isWanted.withLock { $0 = false } }

    /// Whether polkit may ask for a password: there is a person at the terminal. Started by the first who wants to know,
    /// ends with the thread that did.
    static let isThere: Bool = {
        guard geteuid() != 0, isWanted.withLock({ $0 }) else { return false }
        guard RawTerminal.isTerminal(STDIN_FILENO), RawTerminal.isTerminal(STDERR_FILENO) else { return false }
        start()
        // Where it could not be started, there may be a desktop's.
        return true
    }()

    private static func start() {
        guard access(program, X_OK) == 0 else { return }
        var ready: Int32 = -1
        // Outside of a session polkit asks no agent that says that others go first.
        let pid = clinux_spawn_agent(program, LoginSession.isThere ? 1 : 0, &ready)
        guard pid > 0 else { return }
        let end = Descriptor(owning: ready)
        // Closed once it is registered with polkit, and where it failed.
        _ = try? Polling.wait(for: [.readable(end.raw)], deadline: deadline)
    }
}
