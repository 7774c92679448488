import Glibc
import Synchronization

/// Where the guests of one service manager have their things: of the system's, or of a user's own.
public struct Locations: Sendable, Equatable {
    /// Whether it is a user's manager.
    public var isUser: Bool
    /// Directories of definitions, in order of precedence. What is made goes into the first.
    public var definitions: [String]
    /// Of what guests keep while they are off: a directory for each.
    public var state: String
    /// Of running guests' sockets: a directory for each.
    public var runtime: String
    /// The manager's private socket, which needs no bus daemon; nil where this process may not use it.
    public var managerSocket: String?

    /// For remedies: `systemctl`, with what it takes to reach this manager.
    public var systemctl: String { isUser ? "systemctl --user" : "systemctl" }
    /// Likewise.
    public var perdure: String { isUser ? "perdure --user" : "perdure" }

    public static let system = Locations(
        isUser: false,
        definitions: ["/etc/perdure", "/run/perdure", "/usr/lib/perdure"],
        state: "/var/lib/perdure",
        runtime: "/run/perdure",
        managerSocket: geteuid() == 0 ? "/run/systemd/private" : nil
    )

    /// By the XDG base directory specification; a variable that is no absolute path counts as not set.
    /// - Parameters:
    ///   - user: whose manager it is.
    ///   - home: where that user is at home.
    public static func user(_ user: UInt32, home: String, environment: (String) -> String?) -> Locations {
        func directory(_ variable: String, _ otherwise: String) -> String {
            environment(variable).flatMap { $0.hasPrefix("/") ? $0 : nil } ?? otherwise
        }
        let runtime = directory("XDG_RUNTIME_DIR", "/run/user/\(user)")
        return Locations(
            isUser: true,
            definitions: ["\(directory("XDG_CONFIG_HOME", "\(home)/.config"))/perdure", "\(runtime)/perdure"],
            state: "\(directory("XDG_STATE_HOME", "\(home)/.local/state"))/perdure",
            runtime: "\(runtime)/perdure",
            managerSocket: "\(runtime)/systemd/private"
        )
    }

    /// Those that this process works with.
    public static var current: Locations { chosen.withLock { $0 } }

    private static let chosen = Mutex(Locations.system)

    /// Turns this process to its user's own manager; to be called before anything is looked for.
    public static func useUsers() {
        func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        let home = environment("HOME") ?? getpwuid(geteuid()).map { String(cString: $0.pointee.pw_dir) } ?? "/"
        let locations = user(geteuid(), home: home, environment: environment)
        chosen.withLock { $0 = locations }
    }
}
