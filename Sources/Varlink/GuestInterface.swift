/// `io.perdure.Guest`, the interface of a guest's control socket.
public enum GuestInterface {
    public static let name = "io.perdure.Guest"

    public enum Method: String, CaseIterable, Sendable {
        case save = "Save"
        case exec = "Exec"
        case load = "Load"
        case upgrade = "Upgrade"
        case rehearse = "Rehearse"
        case checkHandover = "CheckHandover"
        case hold = "Hold"
        case pause = "Pause"
        case resume = "Resume"
        case reset = "Reset"
        case powerDown = "PowerDown"
        case kill = "Kill"
        case getDifferences = "GetDifferences"
        case getStatus = "GetStatus"
        case prove = "Prove"
        case getMetrics = "GetMetrics"
        case monitor = "Monitor"
        case getConsole = "GetConsole"
        case getMemory = "GetMemory"
        case setBalloon = "SetBalloon"
        case addMemory = "AddMemory"
        case removeMemory = "RemoveMemory"
        case dump = "Dump"
        case pingAgent = "PingAgent"

        public var qualified: String { "\(name).\(rawValue)" }
    }

    /// What a caller must be allowed for a method. Root, or the user whose manager runs the guest, has all rights;
    /// members of the group have the first one, and the others where polkit grants them.
    public enum Right: String, CaseIterable, Sendable {
        /// See how guests stand.
        case watch
        /// Replace what is beneath a guest, and nothing of it.
        case replace = "io.perdure.replace-vm-process"
        /// Have it stand still and go on.
        case pause = "io.perdure.pause-guest"
        /// Press its buttons, or pull its plug.
        case power = "io.perdure.power-guest"
        /// Give it more memory or less.
        case memory = "io.perdure.change-memory"
        /// See what it holds and writes, passwords included, and type into it.
        case enter = "io.perdure.enter-guest"

        /// What polkit's rules and policy call it; nil where it is not polkit's to grant.
        public var action: String? { self == .watch ? nil : rawValue }
    }

    public enum Failure: String, CaseIterable, Sendable {
        /// Nothing has been changed.
        case refused = "Refused"
        case notRunning = "NotRunning"
        /// It was tried and undone.
        case failed = "Failed"
        case invalidDefinition = "InvalidDefinition"
        case notPermitted = "NotPermitted"

        public var qualified: String { "\(name).\(rawValue)" }
    }

    public struct NoParameters: Codable, Sendable {
        public init() {}
    }

    /// Beside a method's own parameters, as in systemd's services.
    public struct Interaction: Codable, Sendable {
        /// Whether somebody may be asked for a password before this is refused.
        public let allowInteractiveAuthentication: Bool?

        public init(allowed: Bool) { allowInteractiveAuthentication = allowed ? true : nil }
    }

    public struct QEMUParameters: Codable, Sendable {
        /// The QEMU program to run from now on; the definition's where it is absent.
        public let qemu: String?

        public init(qemu: String?) { self.qemu = qemu }
    }

    public struct Status: Codable, Sendable {
        public var guest: String
        public var state: String
        /// A sentence for people.
        public var summary: String
        public var generation: Int
        public var pid: Int?
        public var qemu: String?
        public var qemuVersion: String?
        /// Microseconds that the guest was paused by the last handover.
        public var lastPauseUsec: Int?
        /// Microseconds since the epoch: since when the guest has been in its state, handovers left aside.
        public var sinceUsec: Int?
        /// Bytes of RAM that the guest has.
        public var memoryBytes: Int?
        /// That a QEMU does not take the guest's state from the one that it runs in: a sentence for people.
        public var refusal: String?
        /// Bytes that the serial console has put out since the guest started.
        public var consoleBytes: Int
        /// The program that the VM process executes, or a library of it, has been replaced on disk since.
        public var outdated: Bool
        /// Paths where another firmware is installed than the guest was started with, which only a power cycle changes; nil
        /// where the supervisor does not know of it.
        public var replacedFirmware: [String]?
        /// The step of the operation under way; of those in a handover's pause none is told.
        public var step: String?

        public init(
            guest: String,
            state: String,
            summary: String,
            generation: Int,
            pid: Int?,
            qemu: String?,
            qemuVersion: String?,
            lastPauseUsec: Int?,
            refusal: String?,
            since: Int?,
            memory: Int?,
            consoleBytes: Int,
            outdated: Bool,
            replacedFirmware: [String]? = nil,
            step: String? = nil
        ) {
            self.guest = guest
            self.state = state
            self.summary = summary
            self.generation = generation
            self.pid = pid
            self.qemu = qemu
            self.qemuVersion = qemuVersion
            self.lastPauseUsec = lastPauseUsec
            self.refusal = refusal
            self.sinceUsec = since
            self.memoryBytes = memory
            self.consoleBytes = consoleBytes
            self.outdated = outdated
            self.replacedFirmware = replacedFirmware
            self.step = step
        }
    }

    /// Something that is known of a handover before the guest is paused for it.
    public struct Finding: Codable, Sendable {
        public let severity: String
        public let identifier: String
        public let sentence: String
        public let remedy: String

        public init(severity: String, identifier: String, sentence: String, remedy: String) {
            self.severity = severity
            self.identifier = identifier
            self.sentence = sentence
            self.remedy = remedy
        }

        public var isBlocker: Bool { severity == "blocker" }
    }

    public struct CheckReply: Codable, Sendable {
        /// The QEMU that was asked; nil where it can't be used.
        public let qemu: String?
        public let qemuVersion: String?
        public let findings: [Finding]

        public init(qemu: String?, qemuVersion: String?, findings: [Finding]) {
            self.qemu = qemu
            self.qemuVersion = qemuVersion
            self.findings = findings
        }
    }

    public struct RehearsalReply: Codable, Sendable {
        public let qemu: String
        public let qemuVersion: String
        /// Microseconds that the guest was paused.
        public let pauseUsec: Int

        public init(qemu: String, qemuVersion: String, pauseUsec: Int) {
            self.qemu = qemu
            self.qemuVersion = qemuVersion
            self.pauseUsec = pauseUsec
        }
    }

    public struct ConsoleReply: Codable, Sendable {
        /// A descriptor for it is passed along.
        public let hasInput: Bool

        public init(hasInput: Bool) { self.hasInput = hasInput }
    }

    /// What the definition says otherwise than the guest runs with; sentences for people.
    public struct DifferencesReply: Codable, Sendable {
        public let appliedByHandover: [String]
        public let needPowerCycle: [String]

        public init(appliedByHandover: [String], needPowerCycle: [String]) {
            self.appliedByHandover = appliedByHandover
            self.needPowerCycle = needPowerCycle
        }
    }

    /// The interface as `varlinkctl introspect` shows it.
    public static let description = """
        # Control of one guest by its supervisor. What changes a guest takes, beside its parameters, the parameter
        # allowInteractiveAuthentication (bool): whether polkit may ask somebody for a password before it is refused.
        interface io.perdure.Guest

        type Status (
          guest: string,
          # recovering, off, running, paused, saved, waiting, unclear, or the operation under way
          state: string,
          # A sentence for people
          summary: string,
          # Counts the VM processes that the guest has had
          generation: int,
          pid: ?int,
          qemu: ?string,
          qemuVersion: ?string,
          # How long the last handover paused the guest, in microseconds
          lastPauseUsec: ?int,
          # Since when it has been so, handovers left aside; microseconds since the epoch
          sinceUsec: ?int,
          # RAM that the guest has
          memoryBytes: ?int,
          # That a QEMU does not take the guest's state from the one that it runs in; a sentence for people
          refusal: ?string,
          # Bytes that the serial console has put out since the guest started
          consoleBytes: int,
          # The program that the VM process executes, or a library of it, has been replaced on disk since
          outdated: bool,
          # Where another firmware is installed than the guest was started with, which only a power cycle changes
          replacedFirmware: ?[]string,
          # The step of the operation under way; of those in a handover's pause none is told
          step: ?string
        )

        type Finding (
          # blocker, warning or note
          severity: string,
          # Never changes
          identifier: string,
          sentence: string,
          remedy: string
        )

        # Counters begin anew when the guest is started; those of disks with each VM process.
        type Metrics (
          # running, paused, saved, unclear, off, recovering or operating
          state: string,
          generation: int,
          qemuVersion: ?string,
          outdated: bool,
          # Whether another firmware is installed than the guest was started with
          firmwareOutdated: ?bool,
          # Whether systemd keeps all of the guest's descriptors
          storeComplete: bool,
          ramBytes: int,
          # What of the RAM the guest has used and not given back
          ramUsedBytes: int,
          # What the VM process takes besides the RAM
          processBytes: ?int,
          consoleBytes: int,
          lastPauseUsec: ?int,
          handovers: []HandoverCount,
          # In ascending order
          pauses: []PauseClass,
          pauseSumUsec: int,
          # None while the guest is not running
          disks: []DiskMetrics
        )

        type HandoverCount (
          # done, undone, refused or declined
          result: string,
          count: int
        )

        type PauseClass (
          # The longest pause that belongs to the class; the last class has no bound
          boundUsec: ?int,
          # Pauses of this class alone
          count: int
        )

        type DiskMetrics (
          disk: string,
          readBytes: int,
          writtenBytes: int,
          reads: int,
          writes: int,
          flushes: int,
          readNsec: int,
          writeNsec: int,
          flushNsec: int,
          failures: int
        )

        type MemoryBlock (id: string, bytes: int)

        type Memory (
          blocks: []MemoryBlock,
          # What the guest may have in all; null where it can't get any more while it runs
          maximumBytes: ?int,
          # What the balloon leaves the guest; null where it has none
          balloonBytes: ?int
        )

        # Pauses the guest and saves its device state.
        method Save() -> (status: Status)

        # Replaces the VM process of a saved guest.
        method Exec(qemu: ?string) -> (status: Status)

        # Loads the device state into the new VM process and continues the guest.
        method Load() -> (status: Status)

        # Replaces the VM process under the running guest.
        method Upgrade(qemu: ?string) -> (status: Status)

        # Loads the guest's device state into a VM process that is thrown away then. The guest is paused meanwhile.
        method Rehearse(qemu: ?string) -> (qemu: string, qemuVersion: string, pauseUsec: int)

        # What speaks for or against a handover. Changes nothing.
        method CheckHandover(qemu: ?string) -> (qemu: ?string, qemuVersion: ?string, findings: []Finding)

        # Pauses the guest, saves its device state and ends its VM process. Resume continues it in a new one.
        method Hold() -> (status: Status)

        # Has the guest stand still, through whatever is replaced, until Resume.
        method Pause() -> (status: Status)

        # Continues a guest that is paused, saved or held.
        method Resume() -> (status: Status)

        # Presses the guest's reset button.
        method Reset() -> (status: Status)

        # Presses the guest's power button, and does not wait for what the guest does about it.
        method PowerDown() -> (status: Status)

        # Ends the guest as a power cut would.
        method Kill() -> (status: Status)

        # What the definition says otherwise than the guest runs with. Changes nothing.
        method GetDifferences() -> (appliedByHandover: []string, needPowerCycle: []string)

        method GetStatus() -> (status: Status)

        # Asks the VM process whether it has the guest running, or paused where it is to be.
        method Prove() -> (status: Status)

        method GetMetrics() -> (metrics: Metrics)

        # With 'more', the status now and once more at each change of it.
        method Monitor() -> (status: Status)

        # Passes a read-only descriptor of the memory file that the serial console's output is in and, where the VM
        # process takes input, a write-only one of the pipe that it comes from.
        method GetConsole() -> (hasInput: bool)

        method GetMemory() -> (memory: Memory)

        # Asks the guest to keep so many bytes of its memory and give back the rest. It takes its time.
        method SetBalloon(bytes: int) -> (memory: Memory)

        # Gives the guest a DIMM.
        method AddMemory(id: string, bytes: int) -> (memory: Memory)

        # Asks the guest to give a DIMM up, and waits a while for that.
        method RemoveMemory(id: string) -> (memory: Memory)

        # Has QEMU write the guest's memory and registers to a stream socket that is passed along with the call, in the
        # format elf, or another that QEMU has; with paging by the guest's virtual addresses. The guest stands still
        # until the end, or until the socket is shut.
        method Dump(format: ?string, paging: ?bool) -> (status: Status)

        # Asks the guest agent whether it is there, and waits so long for its answer, a minute at most: none, where the
        # guest has no agent's channel or stands still; answers; silent; or busy, where somebody else talks to it.
        method PingAgent(timeoutUsec: int) -> (agent: string)

        # It can't be done now. Nothing has been changed.
        error Refused (reason: string)

        error NotRunning (reason: string)

        # It was tried, and undone.
        error Failed (reason: string)

        error InvalidDefinition (reason: string)

        error NotPermitted (reason: string)
        """

    public struct StatusReply: Codable, Sendable {
        public let status: Status

        public init(_ status: Status) { self.status = status }
    }
}

extension GuestInterface.Method {
    /// Who may call what.
    public var right: GuestInterface.Right {
        switch self {
        case .getStatus, .prove, .pingAgent, .monitor, .getMetrics, .getMemory, .checkHandover, .getDifferences: .watch
        case .upgrade, .rehearse: .replace
        // Between its parts a handover leaves the guest paused.
        case .save, .exec, .load, .hold, .pause, .resume: .pause
        case .reset, .powerDown, .kill: .power
        case .setBalloon, .addMemory, .removeMemory: .memory
        case .getConsole, .dump: .enter
        }
    }
}
