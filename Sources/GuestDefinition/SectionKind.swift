/// The sections of a definition and their keys.
enum SectionKind: String, CaseIterable {
    case guest = "Guest"
    case cpu = "CPU"
    case memory = "Memory"
    case ram = "RAM"
    case firmware = "Firmware"
    case kernel = "Kernel"
    case disk = "Disk"
    case network = "Network"
    case rng = "RNG"
    case balloon = "Balloon"
    case watchdog = "Watchdog"
    case pvpanic = "PVPanic"
    case agent = "Agent"
    case tpm = "TPM"
    case display = "Display"
    case qemu = "QEMU"
    case cloudInit = "CloudInit"
    case credential = "Credential"
    case console = "Console"
    case handover = "Handover"
    case stop = "Stop"
    case crash = "Crash"

    /// Whether there can be several, told apart by an ID, as in `[RAM main]`.
    var isNamed: Bool {
        switch self {
        case .ram, .disk, .network, .credential: true
        case .guest, .cpu, .memory, .firmware, .kernel, .rng, .balloon, .watchdog, .pvpanic, .agent, .tpm, .display,
            .qemu,
            .cloudInit, .console, .handover, .stop, .crash:
            false
        }
    }

    var keys: [String] {
        switch self {
        case .guest: ["Description", "Machine", "Accelerator", "QEMU", "UUID"]
        case .cpu: ["Count", "Model", "Sockets", "Cores", "Threads", "Features"]
        case .memory: ["MaximumSize", "Slots", "Lock", "Overcommit"]
        case .ram: ["Size", "HugePages"]
        case .firmware: ["Type", "SecureBoot", "Image", "Variables", "VariablesTemplate"]
        case .kernel: ["Image", "Initrd", "CommandLine"]
        case .disk: ["Image", "Format", "Bus", "Device", "ReadOnly", "Discard", "Cache", "AIO", "Serial"]
        case .network:
            ["Type", "Interface", "Bridge", "Parent", "Mode", "MACAddress", "Queues", "VHost", "MTU", "Forward"]
        case .rng, .pvpanic, .agent, .display: ["Enable"]
        case .tpm: ["Enable", "Model"]
        case .balloon: ["Enable", "FreePageReporting", "DeflateOnOOM"]
        case .watchdog: ["Enable", "Action"]
        case .qemu: ["ExtraArguments"]
        case .cloudInit: ["InstanceID", "Hostname", "SSHKeys", "UserData", "NetworkConfig"]
        case .credential: ["Name", "File"]
        case .console: ["Enable", "Retain", "ForwardToJournal"]
        case .handover:
            [
                "PrepareTimeoutSec", "SyncTimeoutSec", "StopTimeoutSec", "SaveTimeoutSec", "LoadTimeoutSec",
                "ContinueTimeoutSec",
            ]
        case .stop: ["OnStop", "TimeoutSec", "LimitSec"]
        case .crash:
            [
                "OnCrash", "RestartLimitBurst", "RestartLimitIntervalSec", "Dump", "DumpDirectory", "DumpRetain",
            ]
        }
    }

    /// With a placeholder for the ID, as messages name a kind of section.
    var title: String { isNamed ? "[\(rawValue) ID]" : "[\(rawValue)]" }

    /// QEMU's names for block nodes are short, and 'disk.ID' has to be one.
    var longestID: Int {
        switch self {
        case .disk: QEMUCommandLine.longestNodeName - "disk.".count
        case .guest, .cpu, .memory, .ram, .firmware, .kernel, .network, .rng, .balloon, .watchdog, .pvpanic, .agent,
            .tpm, .display, .qemu, .cloudInit, .credential, .console, .handover, .stop, .crash:
            31
        }
    }

    /// Why a text cannot be the ID of such a section, as a sentence; nil if it can.
    func problem(withID id: String) -> String? {
        let scalars = id.unicodeScalars
        let isWellFormed = scalars.enumerated().allSatisfy { position, scalar in
            switch scalar {
            case "a"..."z": true
            case "0"..."9", "-": position > 0
            default: false
            }
        }
        guard isWellFormed else {
            return "\(quoted(id)) cannot be the ID of \(title); use lower-case letters, digits and '-', a letter first"
        }
        guard scalars.count <= longestID else {
            return "\(quoted(id)) is too long for the ID of \(title); use at most \(longestID) characters"
        }
        return nil
    }
}

/// What tells one section from another.
struct SectionName: Hashable {
    var kind: SectionKind
    /// Empty if the kind takes none.
    var id: String

    /// For messages.
    var title: String { id.isEmpty ? "[\(kind.rawValue)]" : "[\(kind.rawValue) \(shown(id))]" }
}

struct Assignment {
    /// Without white space around it; empty to go back to the default.
    var value: String
    var place: Place
}

/// A section of one file, or of all files together.
struct Section {
    var name: SectionName
    /// Of the header.
    var place: Place
    var assignments: [String: Assignment] = [:]
    /// Keys that were given in a way that is reported already, so that nothing more should be said about them.
    var spoilt: Set<String> = []

    /// Lets a section of a drop-in override this one.
    mutating func override(with other: Section) {
        assignments.merge(other.assignments) { _, new in new }
        spoilt.formUnion(other.spoilt)
    }
}
