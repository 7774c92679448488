import Glibc
import Linux

/// The users that VM processes run as: one per guest, a number without an account. A guest keeps its number, and no two
/// guests have the same.
public struct GuestUsers: Sendable {
    /// Left free by Debian, by systemd (DynamicUser=, containers) and by what useradd gives out as subordinate users.
    static let range: Range<UInt32> = 0x7000_0000..<0x7001_0000

    /// Holds a symbolic link for each number that is taken, from the number to the guest: making one either succeeds or
    /// finds it taken.
    var directory = "\(Locations.system.state)/users"
    /// Whether an account of the host has the number.
    var isForeign: @Sendable (UInt32) -> Bool = { getpwuid($0) != nil || getgrgid($0) != nil }

    public init() {}

    init(directory: String, isForeign: @escaping @Sendable (UInt32) -> Bool) {
        (self.directory, self.isForeign) = (directory, isForeign)
    }

    struct NoneLeft: Error, CustomStringConvertible {
        let description: String
    }

    /// The guest's number, taken if it has none yet.
    public func user(of guest: String) throws -> UInt32 {
        try Directory.make(directory)
        let size = UInt32(GuestUsers.range.count)
        let start = GuestUsers.hash(guest) % size
        for step in 0..<size {
            let user = GuestUsers.range.lowerBound + (start + step) % size
            let path = "\(directory)/\(user)"
            if let owner = Directory.linkTarget(path) {
                if owner == guest { return user }
                continue
            }
            if isForeign(user) { continue }
            if symlink(guest, path) == 0 { return user }
            // Another supervisor may just have been quicker.
            guard errno == EEXIST else { throw SystemCallError("symlink", on: path) }
            if Directory.linkTarget(path) == guest { return user }
        }
        throw NoneLeft(description: "all users that VM processes can run as are taken; see '\(directory)'")
    }

    /// Whether the number is the guest's. Takes none.
    func isUser(_ user: UInt32, of guest: String) -> Bool {
        GuestUsers.range.contains(user) && Directory.linkTarget("\(directory)/\(user)") == guest
    }

    /// Gives the guest's number back, for another guest to have.
    /// - Returns: the path of the link that was removed; nil where the guest has no number.
    public func release(_ guest: String) throws(SystemCallError) -> String? {
        guard access(directory, F_OK) == 0 else { return nil }
        for name in try Directory.names(in: directory) {
            let path = "\(directory)/\(name)"
            guard UInt32(name) != nil, Directory.linkTarget(path) == guest else { continue }
            if unlink(path) < 0 { throw SystemCallError("unlink", on: path) }
            return path
        }
        return nil
    }

    static let kvm = "/dev/kvm"

    /// The group that may read from and write to a device, where it is not everybody or root's alone.
    static func group(of device: String) -> UInt32? {
        guard let access = try? FileAccess(of: device), access.mode & 0o060 == 0o060, access.mode & 0o006 != 0o006
        else {
            return nil
        }
        return access.group
    }

    /// FNV-1a: the same in every version of this program.
    private static func hash(_ text: String) -> UInt32 {
        text.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
    }
}
