import CSystemd
import Glibc
import Linux

/// The file descriptor store that systemd keeps for this service (FileDescriptorStoreMax= in systemd.service(5)).
/// Names are the only key: systemd gives the descriptors back in no particular order.
public enum DescriptorStore {
    public struct Entry: Sendable {
        public let name: String
        public let descriptor: Descriptor

        public init(name: String, descriptor: Descriptor) {
            self.name = name
            self.descriptor = descriptor
        }
    }

    /// What the manager handed to this process at its start. Only the first call gets it.
    public static func receive() throws(SystemCallError) -> [Entry] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        if count < 0 { throw SystemCallError("sd_listen_fds_with_names", on: "service manager", code: -count) }
        guard count > 0, let names else { return [] }
        defer {
            for index in 0..<Int(count) { free(names[index]) }
            free(names)
        }
        return (0..<count).map { index in
            Entry(
                name: names[Int(index)].map { String(cString: $0) } ?? "",
                descriptor: Descriptor(owning: SD_LISTEN_FDS_START + index)
            )
        }
    }

    /// Stores `entries` and returns once the manager has taken them. One that is stored already stays as it is.
    /// Descriptors beyond FileDescriptorStoreMax= are dropped without a word: count afterwards. Blocks.
    public static func store(_ entries: [Entry], deadline: Duration) throws(SystemCallError) {
        for entry in entries {
            // The manager would drop a socket whose peer is gone before we have read what it left.
            var raw = entry.descriptor.raw
            let state = "FDSTORE=1\nFDNAME=\(entry.name)\nFDPOLL=0"
            let result = sd_pid_notify_with_fds(0, 0, state, &raw, 1)
            if result < 0 { throw SystemCallError("FDSTORE", on: entry.name, code: -result) }
        }
        try Notifier.barrier(deadline: deadline)
    }

    /// Removes every descriptor with one of these names and returns once the manager has done so. Blocks.
    public static func remove(_ names: [String], deadline: Duration) throws(SystemCallError) {
        for name in names {
            let result = sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=\(name)")
            if result < 0 { throw SystemCallError("FDSTOREREMOVE", on: name, code: -result) }
        }
        try Notifier.barrier(deadline: deadline)
    }
}
