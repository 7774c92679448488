import Glibc

public enum Directory {
    /// Names in a directory, in no order, `.` and `..` among them; at most `limit`.
    public static func names(in path: String, limit: Int = 65_536) throws(SystemCallError) -> [String] {
        guard let directory = opendir(path) else { throw SystemCallError("opendir", on: path) }
        defer { closedir(directory) }
        var names: [String] = []
        while names.count < limit, let entry = readdir(directory) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            )
        }
        return names
    }

    /// Makes a directory, and those that lead to it, where they are missing.
    /// - Parameter mode: of those it makes; only the owner can enter them unless told otherwise.
    public static func make(_ path: String, mode: mode_t = 0o700) throws(SystemCallError) {
        var made = ""
        for name in path.split(separator: "/") {
            made += "/\(name)"
            if mkdir(made, mode) < 0, errno != EEXIST { throw SystemCallError("mkdir", on: made) }
        }
    }

    /// What a symbolic link at `path` says, at most 255 bytes of it; nil where there is none.
    public static func linkTarget(_ path: String) -> String? {
        var target = [UInt8](repeating: 0, count: 255)
        let length = readlink(path, &target, target.count)
        return length < 0 ? nil : String(decoding: target.prefix(length), as: UTF8.self)
    }
}
