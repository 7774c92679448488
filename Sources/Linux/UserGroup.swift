import Glibc

public enum UserGroup {
    /// The number of a group of this host; nil where there is none of that name.
    public static func number(of name: String) -> UInt32? { getgrnam(name)?.pointee.gr_gid }
}
