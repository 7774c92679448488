import Glibc
import Linux

/// The dumps of one guest, `NAME.20260131T235959Z.core`, in a directory that may hold other things.
public struct DumpDirectory: Sendable {
    let path: String
    let guest: String

    public init(path: String, guest: String) { (self.path, self.guest) = (path, guest) }

    private var partial: String { "\(path)/\(guest).partial" }

    /// Names of the guest's dumps, the oldest first.
    public func dumps() throws -> [String] { try Directory.names(in: path).filter(isDump).sorted() }

    /// Another guest's name may begin like this one's.
    private func isDump(_ name: String) -> Bool {
        let (prefix, suffix) = ("\(guest).", ".core")
        guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return false }
        let time = name.dropFirst(prefix.count).dropLast(suffix.count)
        let pattern = time.map { $0.isASCII && $0.isNumber ? "0" : $0 }
        return String(pattern) == "00000000T000000Z"
    }

    /// Deletes old dumps beyond the number to be retained; none where there would be too little room all the same.
    /// - Parameter bytes: how much the next dump needs.
    func makeRoom(for bytes: UInt64, retaining number: Int) throws {
        let surplus = try dumps().dropLast(number)
        let freed = surplus.reduce(UInt64(0)) { sum, name in
            var status = stat()
            return stat("\(path)/\(name)", &status) < 0 ? sum : sum + UInt64(status.st_blocks) * 512
        }
        var system = statvfs()
        guard statvfs(path, &system) == 0 else { throw SystemCallError("statvfs", on: path) }
        let free = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        guard bytes <= free + freed else {
            throw MemoryDump.Failure(
                description: "a dump of the guest's RAM needs \(bytes >> 20) MiB, and '\(path)' has \(free >> 20) MiB "
                    + "free; see [Crash] DumpDirectory="
            )
        }
        for name in surplus where unlink("\(path)/\(name)") < 0 { throw SystemCallError("unlink", on: name) }
    }

    /// A file that a supervisor has not finished is of no use.
    func removePartial() throws {
        if unlink(partial) < 0, errno != ENOENT { throw SystemCallError("unlink", on: partial) }
    }

    func createPartial() throws -> Descriptor { try Descriptor.create(partial, mode: 0o600) }

    /// Gives the file its name. Returns its path.
    func finishPartial(time: Int) throws -> String {
        var seconds = time_t(time)
        var fields = tm()
        gmtime_r(&seconds, &fields)
        func digits(_ value: Int32, _ count: Int = 2) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = digits(fields.tm_year + 1900, 4) + digits(fields.tm_mon + 1) + digits(fields.tm_mday)
        let clock = digits(fields.tm_hour) + digits(fields.tm_min) + digits(fields.tm_sec)
        let name = "\(path)/\(guest).\(date)T\(clock)Z.core"
        if rename(partial, name) < 0 { throw SystemCallError("rename", on: name) }
        try Descriptor.open(path, O_RDONLY).sync()
        return name
    }
}
