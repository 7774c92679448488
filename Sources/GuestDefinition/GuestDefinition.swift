import Linux

/// What `NAME.guest` and its drop-ins say, checked and with defaults filled in.
public struct GuestDefinition: Sendable, Equatable {
    public var name: String
    public var description: String?
    /// Absolute path of the QEMU binary.
    public var qemu: String
    public var hardware: GuestHardware
    /// Whether the guest may be given more memory than the host has available.
    public var overcommit: Bool
    public var handover: HandoverTimeouts
    public var stop: StopPolicy
    public var crash: CrashPolicy
    /// How much console output is kept, in bytes: 64 KiB to 64 MiB.
    public var consoleRetain: UInt64
    /// Whether each line of the serial console's output goes into the journal, too.
    public var consoleForward: Bool
    /// All files read, the main file first, then drop-ins in the order they were applied.
    public var files: [String]

    public init(
        name: String,
        description: String? = nil,
        qemu: String = GuestDefinition.defaultQEMU,
        hardware: GuestHardware,
        overcommit: Bool = false,
        handover: HandoverTimeouts = HandoverTimeouts(),
        stop: StopPolicy = StopPolicy(),
        crash: CrashPolicy? = nil,
        consoleRetain: UInt64 = GuestDefinition.defaultConsoleRetain,
        consoleForward: Bool = false,
        files: [String] = []
    ) {
        self.name = name
        self.description = description
        self.qemu = qemu
        self.hardware = hardware
        self.overcommit = overcommit
        self.handover = handover
        self.stop = stop
        self.crash = crash ?? CrashPolicy(dumpDirectory: CrashPolicy.defaultDumpDirectory(of: name))
        self.consoleRetain = consoleRetain
        self.consoleForward = consoleForward
        self.files = files
    }

    public static let defaultQEMU = "/usr/bin/qemu-system-x86_64"
    /// In bytes.
    public static let defaultConsoleRetain: UInt64 = 1 << 20
}

/// How long each step of a handover may take, 100 ms to 10 min, before it is rolled back.
public struct HandoverTimeouts: Sendable, Equatable {
    /// From the spawn of the next VM process until it is ready to load; the guest runs.
    public var prepare: Duration
    /// Writing the disk images out before the guest is paused.
    public var sync: Duration
    /// Until the guest is paused and what it had written is on its disks.
    public var stop: Duration
    public var save: Duration
    public var load: Duration
    public var resume: Duration

    public init(
        prepare: Duration = .seconds(30),
        sync: Duration = .seconds(10),
        stop: Duration = .seconds(5),
        save: Duration = .seconds(5),
        load: Duration = .seconds(5),
        resume: Duration = .seconds(5)
    ) {
        self.prepare = prepare
        self.sync = sync
        self.stop = stop
        self.save = save
        self.load = load
        self.resume = resume
    }

    public var longest: Duration { [prepare, sync, stop, save, load, resume].reduce(prepare, max) }
}

public enum OnStop: String, Sendable, CaseIterable {
    /// Asks the guest to power itself off.
    case poweroff
}

/// What happens to the guest when its unit is stopped.
public struct StopPolicy: Sendable, Equatable {
    public var onStop: OnStop
    /// How long after the guest last showed progress it is killed: 1 s to 1 h.
    public var timeout: Duration
    /// How long after it was asked to power off it is killed in any case: 1 s to 1 d.
    public var limit: Duration

    public init(onStop: OnStop = .poweroff, timeout: Duration = .seconds(90), limit: Duration = .seconds(1800)) {
        self.onStop = onStop
        self.timeout = timeout
        self.limit = limit
    }
}

public enum OnCrash: String, Sendable, CaseIterable {
    /// The unit fails.
    case fail
    /// The guest is booted anew in the same unit.
    case restart
}

/// What happens when the guest is lost because its VM process has ended by itself.
public struct CrashPolicy: Sendable, Equatable {
    public var onCrash: OnCrash
    /// After so many new boots within `restartInterval` the next crash fails the unit: 1 to 100.
    public var restartBurst: Int
    /// 1 s to 1 d.
    public var restartInterval: Duration
    /// Whether the guest's RAM is kept in a file.
    public var dump: Bool
    /// Absolute path; made where it is missing.
    public var dumpDirectory: String
    /// How many dumps of the guest are kept: 1 to 100.
    public var dumpRetain: Int

    public init(
        onCrash: OnCrash = .fail,
        restartBurst: Int = 3,
        restartInterval: Duration = .seconds(600),
        dump: Bool = false,
        dumpDirectory: String,
        dumpRetain: Int = 2
    ) {
        self.onCrash = onCrash
        self.restartBurst = restartBurst
        self.restartInterval = restartInterval
        self.dump = dump
        self.dumpDirectory = dumpDirectory
        self.dumpRetain = dumpRetain
    }

    public static func defaultDumpDirectory(of guest: String) -> String { "\(Locations.current.state)/\(guest)" }
}
