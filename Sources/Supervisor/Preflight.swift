import GuestDefinition
import Lifecycle
import QMP

/// Everything that can be known of a handover without pausing the guest: what was gathered goes in, findings come out.
struct Preflight: Sendable {
    /// A block of RAM that the guest has by the ledger.
    struct RAM: Equatable, Sendable {
        var id: String
        /// What QEMU calls it; nil where that is as in the store.
        var backend: String?
        /// Bytes.
        var size: UInt64
        var isStored: Bool
        /// Bytes that the guest's VM process maps of it as shared memory; nil where there is none.
        var mapped: UInt64?
        /// Bytes that the next VM process maps of it in the way that it is to; nil where there is none yet.
        var mappedByNext: UInt64?
    }

    /// RAM as a VM process itself sees it.
    struct Backend: Equatable, Sendable {
        var id: String
        var size: UInt64
        var isShared: Bool
    }

    /// The VM process that runs the guest.
    struct Running: Sendable {
        var title: String
        var state: RunState
        /// A person wants the guest to stand still.
        var isPaused = false
        /// Why QEMU would refuse to save, in its words.
        var blockers: [String] = []
        var backends: [Backend] = []
        var commandLine: [String] = []
        /// What the guest sees of the PCI bus; nil where its command line says it all.
        var pci: [PCIFunction]?
        var cpu: CPUFeatures?
        var qemu: String
        var version: QEMUVersion
        var replacedFiles: [String] = []
    }

    /// A QEMU that has the guest's machine, next to be or only for the question.
    enum Machine: Sendable {
        /// It does not come up; the reason is in QEMU's words.
        case refused(String)
        case up(cpu: CPUFeatures?)

        var cpu: CPUFeatures? {
            if case .up(let cpu) = self { cpu } else { nil }
        }
    }

    enum Program: Sendable {
        case unusable(String)
        case usable(QEMUFacts)
    }

    enum TPMProblem: Sendable {
        /// The next one can't be made.
        case missing
        /// The one that the guest has is not there any more.
        case gone
    }

    struct Memory: Sendable {
        /// Bytes that a VM process takes for itself, without the guest's RAM.
        var needed: UInt64
        /// Bytes that the host can give.
        var available: UInt64
        /// Bytes that the cgroup with the least room can give, and which one that is.
        var group: (name: String, room: UInt64)?
    }

    var guest: String
    var hardware: GuestHardware
    var program: Program
    var ram: [RAM] = []
    /// Nil where the guest is saved.
    var running: Running?
    /// Nil where it is not known yet.
    var machine: Machine?
    var changes = DefinitionChanges()
    var memory: Memory?
    /// The kernel's setting for transparent huge pages in shared memory; nil where it has none.
    var sharedHugePages: String?
    var networks: [NetworkState] = []
    /// What is wrong with the guest's TPM.
    var tpmProblem: TPMProblem?
    /// The QEMU in which the guest has booted last, if that is known.
    var bootedIn: QEMUVersion?
    /// Paths that the definition names of files that are read when a guest is started, and that are not there.
    var goneFiles: [String] = []
    /// Paths where another firmware is installed than the guest has.
    var replacedFirmware: [String] = []
    /// As the next VM process has it, where that is asked for.
    var pci: [PCIFunction]?
}
