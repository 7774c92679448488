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
        /// What the balloon leaves the guest; nil where it has none.
        public let balloonBytes: Int?

        public init(blocks: [MemoryBlock], balloonBytes: Int?) {
            self.blocks = blocks
            self.balloonBytes = balloonBytes
        }
    }

    public struct MemoryReply: Codable, Sendable {
        public let memory: Memory

        public init(_ memory: Memory) { self.memory = memory }
    }

    public struct BalloonParameters: Codable, Sendable {
        public let bytes: Int

        public init(bytes: Int) { self.bytes = bytes }
    }
}
