import Glibc
import Linux

/// Tells when the manager has reloaded its configuration or has been executed anew: after both, what it keeps for a
/// service may differ from what it was given.
public actor ReloadWatch {
    private nonisolated let loop: EventLoop
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let reconnectAfter: Duration
    private let onReload: @Sendable () -> Void
    private var bus: Bus?
    private var watch: ReadWatch?
    private var retry: Timer?

    public init(loop: EventLoop, reconnectAfter: Duration = .seconds(1), onReload: @escaping @Sendable () -> Void) {
        self.loop = loop
        self.reconnectAfter = reconnectAfter
        self.onReload = onReload
    }

    public func start() { connect(isFirst: true) }

    private func connect(isFirst: Bool) {
        retry = nil
        do {
            let bus = try Bus()
            let watched = dup(bus.descriptor)
            guard watched >= 0 else { throw ManagerError("connection", code: errno) }
            self.bus = bus
            watch = loop.whenReadable(Descriptor(owning: watched)) { [weak self] in
                self?.assumeIsolated { $0.process() }
            }
            // The handshake's answer may have been read already.
            process()
            // Nobody has told of a reload that came before.
            if !isFirst { onReload() }
        } catch { reconnectLater() }
    }

    private func process() {
        guard let bus else { return }
        do {
            while let message = try bus.nextMessage(before: .now) {
                if message.isSignal("org.freedesktop.systemd1.Manager", "Reloading"), message.boolean() == false {
                    onReload()
                }
            }
        } catch {
            // The manager closes its connections when it executes itself anew.
            watch = nil
            self.bus = nil
            onReload()
            reconnectLater()
        }
    }

    private func reconnectLater() {
        retry = loop.after(reconnectAfter) { [weak self] in self?.assumeIsolated { $0.connect(isFirst: false) } }
    }
}
