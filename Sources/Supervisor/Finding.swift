/// Something that is known of a handover before the guest is paused for it.
public struct Finding: Equatable, Sendable, CustomStringConvertible {
    public enum Severity: String, CaseIterable, Sendable {
        /// The handover can't succeed, or would harm the guest.
        case blocker
        /// It can succeed, and something is worth a look.
        case warning
        case note
    }

    /// Names that programs may rely on.
    public enum Identifier: String, CaseIterable, Sendable {
        case definitionInvalid = "definition-invalid"
        case qemuUnusable = "qemu-unusable"
        case ramMissing = "ram-missing"
        case ramNotShared = "ram-not-shared"
        case ramUnknown = "ram-unknown"
        case guestNotRunning = "guest-not-running"
        case migrationBlocked = "migration-blocked"
        case machineUnknown = "machine-unknown"
        case machineDeprecated = "machine-deprecated"
        case capabilityMissing = "capability-missing"
        case deviceMissing = "device-missing"
        case argumentsUnproven = "arguments-unproven"
        case backendMissing = "backend-missing"
        case devicesDiffer = "devices-differ"
        case queuesTooLong = "queues-too-long"
        case cpuUnavailable = "cpu-unavailable"
        case cpuBitsMissing = "cpu-bits-missing"
        case cpuBitsAdded = "cpu-bits-added"
        case cpuDiffers = "cpu-differs"
        case cpuMoved = "cpu-moved"
        case sharedHugePagesOff = "shared-huge-pages-off"
        case memoryShort = "memory-short"
        case connectionsCut = "connections-cut"
        case networkGone = "network-gone"
        case networkMoved = "network-moved"
        case bridgeMissing = "bridge-missing"
        case parentMissing = "parent-missing"
        case vhostMissing = "vhost-missing"
        case tpmMissing = "tpm-missing"
        case tpmGone = "tpm-gone"
        case startFileGone = "start-file-gone"
        case needsPowerCycle = "needs-power-cycle"
        case appliedByHandover = "applied-by-handover"
        case firmwareOutdated = "firmware-outdated"
        case qemuOutdated = "qemu-outdated"
    }

    public var severity: Severity
    public var identifier: Identifier
    /// What there is, with the object in quotes.
    public var sentence: String
    /// What can be done about it.
    public var remedy: String

    init(_ severity: Severity, _ identifier: Identifier, _ sentence: String, _ remedy: String) {
        self.severity = severity
        self.identifier = identifier
        self.sentence = sentence
        self.remedy = remedy
    }

    public var description: String { "\(identifier.rawValue): \(sentence); \(remedy)" }
}
