/// What this host is like, as far as it matters to Perdure. `findings` judges it.
public struct HostFacts: Sendable, Equatable {
    public struct Guest: Sendable, Equatable {
        public var name: String
        /// `active`, `inactive`, `failed`…
        public var activeState = "inactive"
        /// `loaded`, `masked`, `not-found`…
        public var loadState = "loaded"
        /// `enabled`, `disabled`, `masked`…
        public var unitFileState = "enabled"
        public var storedDescriptors = 0
        /// FileDescriptorStoreMax=
        public var storeLimit = HostFacts.storeLimit
        /// Bytes that the VM process takes besides the guest's RAM; nil where there is none.
        public var processBytes: Int?
        public var isOutdated = false
        public var hasOldFirmware = false

        public init(name: String) { self.name = name }

        var isActive: Bool { ["active", "activating", "reloading"].contains(activeState) }
        /// With the host, or by another unit.
        var isStartedByItself: Bool { unitFileState.hasPrefix("enabled") || unitFileState == "static" }
    }

    public struct QEMU: Sendable, Equatable {
        public var path: String
        /// Guests whose definitions name it.
        public var guests: [String]
        /// Nil where it can't be used.
        public var version: String?
        public var problem: String?

        public init(path: String, guests: [String], version: String?, problem: String?) {
            self.path = path
            self.guests = guests
            self.version = version
            self.problem = problem
        }
    }

    public enum KVM: Sendable, Equatable {
        case usable
        case missing
        case forbidden
    }

    public enum Needrestart: Sendable, Equatable {
        case absent
        /// Its configuration says nothing of Perdure.
        case unconfigured
        case restartsGuests
        case leavesGuestsAlone
    }

    /// What the unit is shipped with.
    public static let storeLimit = 64

    /// Whether it is a user's manager that is looked at, and whether that stays when the user logs out.
    public var isUser = false
    public var lingers = false
    /// Nil where systemd does not answer.
    public var systemdVersion: Int?
    public var kvm = KVM.usable
    /// Guests whose definitions want KVM.
    public var guestsWithKVM: [String] = []
    /// Guests whose definitions can't be used.
    public var brokenGuests: [String] = []
    /// How transparent huge pages are used for shared memory; nil where the kernel has none.
    public var sharedHugePages: String?
    /// Bytes that can be had without swapping.
    public var availableMemory: UInt64 = .max
    public var qemus: [QEMU] = []
    public var needrestart = Needrestart.absent
    /// unattended-upgrades reboots the host when it sees fit.
    public var hasAutomaticReboots = false
    public var hasPersistentJournal = true
    public var guests: [Guest] = []

    public init() {}
}

/// Something about the host that keeps Perdure from working well, with what helps.
public struct HostFinding: Sendable, Equatable, Encodable {
    public enum Severity: String, Sendable, Encodable {
        /// A guest would be lost, or can't be run.
        case problem
        /// Worth mending.
        case warning
        /// Good to know.
        case note
    }

    public let severity: Severity
    /// Never changes.
    public let identifier: String
    public let sentence: String
    public let remedy: String

    init(_ severity: Severity, _ identifier: String, _ sentence: String, remedy: String) {
        self.severity = severity
        self.identifier = identifier
        self.sentence = sentence
        self.remedy = remedy
    }
}
