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

    public struct BalloonParameters: Codable, Sendable {
        public let bytes: Int

        public init(bytes: Int) { self.bytes = bytes }
    }
}
