/// Something that some QEMUs leave in a guest's state and others do not take, and what makes them take it.
///
/// QEMU has no list of these, and nothing but a real load shows them: each was found that way, and a system test of
/// `QEMUVersionTests` repeats it.
public struct KnownIncompatibility: Sendable, Identifiable {
    public enum Remedy: Sendable, Hashable {
        /// Disks get queues of so many entries.
        case diskQueueSize(Int)

        /// The properties by which remedies are set in a command line, which a guest does not see: it reads what it has
        /// negotiated from its own memory.
        public static let properties: Set<String> = ["queue-size", "virtqueue_size"]
    }

    /// Kept in ledgers: it never changes.
    public let id: String
    /// The versions that may leave it in a guest's state, for as long as the guest runs.
    let left: Range<QEMUVersion>
    /// The versions that need the remedy.
    let refused: PartialRangeFrom<QEMUVersion>
    public let remedy: Remedy

    public static let all = [
        // With the fix of CVE-2026-50626 (in 10.0.13, and maybe in other stable releases), QEMUs before 11.1 make every
        // virtio queue one of 1024 entries, whatever its size property says; 11.1 keeps to the property and refuses
        // queues that are longer: "VQ 0 vring.num 1024 exceeds allocated max 256". A queue that is longer than it need
        // be does no harm, so the versions with the fix and those before it are not told apart.
        KnownIncompatibility(
            id: "virtio-queues-1024",
            left: QEMUVersion(major: 0, minor: 0)..<QEMUVersion(major: 11, minor: 1),
            refused: QEMUVersion(major: 11, minor: 1)...,
            remedy: .diskQueueSize(1024)
        )
    ]

    /// What a QEMU may leave in the state of a guest that runs in it.
    public static func left(by version: QEMUVersion) -> [String] {
        all.filter { $0.left.contains(version) }.map(\.id)
    }

    /// What a QEMU needs that is to take a guest with these incompatibilities in its state. Unknown ones are those of
    /// another version of this program.
    public static func remedies(for leftovers: [String], in version: QEMUVersion) -> [KnownIncompatibility] {
        all.filter { leftovers.contains($0.id) && $0.refused.contains(version) }
    }
}
