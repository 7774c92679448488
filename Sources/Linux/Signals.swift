import CLinux
import Glibc

/// Signals as events. Block them before the first thread is started: threads inherit the mask.
public enum Signals {
    public static func block(_ signals: [Int32]) throws(SystemCallError) {
        try check("pthread_sigmask", on: "signals") { clinux_block_signals(signals, signals.count) }
    }

    /// A descriptor that becomes readable when one of the blocked `signals` is pending.
    public static func descriptor(for signals: [Int32]) throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("signalfd", on: "signals") { clinux_signalfd(signals, signals.count) })
    }

    /// The next pending signal, nil where there is none.
    public static func next(from descriptor: Descriptor) throws(SystemCallError) -> Int32? {
        let signal = try check("read", on: "signalfd") { clinux_read_signal(descriptor.raw) }
        return signal == 0 ? nil : signal
    }
}
