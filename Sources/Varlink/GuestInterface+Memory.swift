extension GuestInterface {
    public struct MemoryBlock: Codable, Sendable {
        public let id: String
        public let bytes: Int

        public init(id: String, bytes: Int) {
            self.id = id
            self.bytes = bytes
        }
    }

    /// What a running guest has of memory.
    public struct Memory: Codable, Sendable {
        public let blocks: [MemoryBlock]
        /// What the guest may have in all; nil where it can't get any more while it runs.
        public let maximumBytes: Int?
        /// What the balloon leaves the guest; nil where it has none.
        public let balloonBytes: Int?

        public init(blocks: [MemoryBlock], maximumBytes: Int?, balloonBytes: Int?) {
            self.blocks = blocks
            self.maximumBytes = maximumBytes
            self.balloonBytes = balloonBytes
        }
    }

    public struct MemoryReply: Codable, Sendable {
        public let memory: Memory

        public init(_ memory: Memory) { self.memory = memory }
    }

    public struct AddMemoryParameters: Codable, Sendable {
        public let id: String
        public let bytes: Int

        public init(id: String, bytes: Int) {
            self.id = id
            self.bytes = bytes
        }
    }

    public struct RemoveMemoryParameters: Codable, Sendable {
        public let id: String

        public init(id: String) { self.id = id }
    }

    public enum AgentState: String, Codable, Sendable {
        /// The guest has no agent's channel, or stands still.
        case none
        case answers
        case silent
        /// Somebody else talks to it.
        case busy
    }

    public struct PingParameters: Codable, Sendable {
        public let timeoutUsec: Int

        public init(timeoutUsec: Int) { self.timeoutUsec = timeoutUsec }
    }

    public struct PingReply: Codable, Sendable {
        public let agent: AgentState

        public init(agent: AgentState) { self.agent = agent }
    }

    public struct DumpParameters: Codable, Sendable {
        /// As QEMU calls it; `elf` where it is absent.
        public let format: String?
        /// By the guest's virtual addresses.
        public let paging: Bool?

        public init(format: String?, paging: Bool?) { (self.format, self.paging) = (format, paging) }
    }

    public struct BalloonParameters: Codable, Sendable {
        public let bytes: Int

        public init(bytes: Int) { self.bytes = bytes }
    }
}
