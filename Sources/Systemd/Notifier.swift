import CSystemd
import Linux

/// What this process tells the service manager about itself (sd_notify(3)). Every call does nothing and succeeds where
/// the process was not started by systemd.
public enum Notifier {
    /// `READY=1`, `STATUS=…`, `WATCHDOG=1` and the like, one assignment a line.
    public static func send(_ assignments: String...) { _ = sd_notify(0, assignments.joined(separator: "\n")) }

    /// Whether the service manager reads notifications of this process.
    public static var isAvailable: Bool { environment("NOTIFY_SOCKET") != nil }

    /// How often `WATCHDOG=1` is due; nil where no watchdog is set for this process.
    public static var watchdogInterval: Duration? {
        var microseconds: UInt64 = 0
        return sd_watchdog_enabled(0, &microseconds) > 0 ? .microseconds(Int64(clamping: microseconds)) : nil
    }

    /// Returns once the manager has handled everything sent so far. Blocks.
    static func barrier(deadline: Duration) throws(SystemCallError) {
        let result = sd_notify_barrier(0, UInt64(deadline.microseconds))
        if result < 0 { throw SystemCallError("sd_notify_barrier", on: "service manager", code: -result) }
    }
}
