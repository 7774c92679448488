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

    /// The versions that make every virtio queue one of 1024 entries when the guest boots.
    private static let longQueues = QEMUVersion(major: 10, minor: 0, micro: 13)..<QEMUVersion(major: 10, minor: 1)

    /// What of a guest that booted in one QEMU keeps it from another for as long as it does not boot anew: devices with
    /// queues that nothing can make longer there. Named as in the definition; empty where nothing does.
    ///
    /// Network cards have to have a sending queue of 256 entries on a tap, and the others know no size at all. One that
    /// was made before the guest was handed to such a QEMU stays as it is until the guest reboots.
    public static func devicesRefused(
        of hardware: GuestHardware,
        bootedIn old: QEMUVersion,
        by new: QEMUVersion
    ) -> [String] {
        guard longQueues.contains(old), new >= QEMUVersion(major: 11, minor: 1) else { return [] }
        let devices = hardware.single
        return hardware.networks.map { "[Network \($0.id)]" }
            + [("[RNG]", devices.rng), ("[Balloon]", devices.balloon != nil), ("[Agent]", devices.agent)].filter(\.1)
            .map(\.0)
    }

    /// What a QEMU needs that is to take a guest with these incompatibilities in its state. Unknown ones are those of
    /// another version of this program.
    public static func remedies(for leftovers: [String], in version: QEMUVersion) -> [KnownIncompatibility] {
        all.filter { leftovers.contains($0.id) && $0.refused.contains(version) }
    }
}
