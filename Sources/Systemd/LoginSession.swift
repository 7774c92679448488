import CSystemd

/// Sessions as systemd-logind knows them (sd-login(3)).
public enum LoginSession {
    /// Whether this process belongs to one.
    public static var isThere: Bool { sd_pid_get_session(0, nil) >= 0 }
}
