extension GuestInterface {
    /// How a guest does in numbers. Counters begin anew when the guest is started; those of disks with each VM process.
    public struct Metrics: Codable, Sendable {
        /// `running`, `paused`, `saved`, `unclear`, `off`, `recovering` or `operating`.
        public var state: String
        public var generation: Int
        public var qemuVersion: String?
        public var outdated: Bool
        /// Whether another firmware is installed than the guest was started with; nil where the supervisor does not know.
        public var firmwareOutdated: Bool?
        /// Whether systemd keeps all of the guest's descriptors.
        public var storeComplete: Bool
        public var ramBytes: Int
        /// What of the RAM the guest has ever used, and not given back.
        public var ramUsedBytes: Int
        /// What the VM process takes besides the RAM.
        public var processBytes: Int?
        public var consoleBytes: Int
        public var lastPauseUsec: Int?
        public var handovers: [HandoverCount]
        /// In ascending order.
        public var pauses: [PauseClass]
        public var pauseSumUsec: Int
        /// None while the guest is not running.
        public var disks: [DiskMetrics]

        public init(
            state: String,
            generation: Int,
            qemuVersion: String?,
            outdated: Bool,
            firmwareOutdated: Bool? = nil,
            storeComplete: Bool,
            ramBytes: Int,
            ramUsedBytes: Int,
            processBytes: Int?,
            consoleBytes: Int,
            lastPauseUsec: Int?,
            handovers: [HandoverCount],
            pauses: [PauseClass],
            pauseSumUsec: Int,
            disks: [DiskMetrics]
        ) {
            self.state = state
            self.generation = generation
            self.qemuVersion = qemuVersion
            self.outdated = outdated
            self.firmwareOutdated = firmwareOutdated
            self.storeComplete = storeComplete
            self.ramBytes = ramBytes
            self.ramUsedBytes = ramUsedBytes
            self.processBytes = processBytes
            self.consoleBytes = consoleBytes
            self.lastPauseUsec = lastPauseUsec
            self.handovers = handovers
            self.pauses = pauses
            self.pauseSumUsec = pauseSumUsec
            self.disks = disks
        }
    }

    public struct HandoverCount: Codable, Sendable {
        /// `done`, `undone`, `refused` or `declined`.
        public var result: String
        public var count: Int

        public init(result: String, count: Int) {
            self.result = result
            self.count = count
        }
    }

    public struct PauseClass: Codable, Sendable {
        /// The longest pause that belongs to the class; nil for the last class, which has no bound.
        public var boundUsec: Int?
        /// Pauses of this class alone.
        public var count: Int

        public init(boundUsec: Int?, count: Int) {
            self.boundUsec = boundUsec
            self.count = count
        }
    }

    public struct DiskMetrics: Codable, Sendable {
        public var disk: String
        public var readBytes: Int
        public var writtenBytes: Int
        public var reads: Int
        public var writes: Int
        public var flushes: Int
        public var readNsec: Int
        public var writeNsec: Int
        public var flushNsec: Int
        public var failures: Int

        public init(
            disk: String,
            readBytes: Int,
            writtenBytes: Int,
            reads: Int,
            writes: Int,
            flushes: Int,
            readNsec: Int,
            writeNsec: Int,
            flushNsec: Int,
            failures: Int
        ) {
            self.disk = disk
            self.readBytes = readBytes
            self.writtenBytes = writtenBytes
            self.reads = reads
            self.writes = writes
            self.flushes = flushes
            self.readNsec = readNsec
            self.writeNsec = writeNsec
            self.flushNsec = flushNsec
            self.failures = failures
        }
    }

    public struct MetricsReply: Codable, Sendable {
        public let metrics: Metrics

        public init(_ metrics: Metrics) { self.metrics = metrics }
    }
}
