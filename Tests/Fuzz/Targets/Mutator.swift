/// Changes inputs at random; the same for the same seed.
public struct Mutator {
    /// Bytes. libFuzzer looks at longer ones.
    private static let longest = 8 << 10
    private static let numbers = [
        "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e400", "0.5", "2147483648",
    ]

    private let corpus: Corpus
    private var random: SplitMix64

    public init(_ corpus: Corpus, seed: UInt64) {
        self.corpus = corpus
        random = SplitMix64(state: seed)
    }

    /// The next input.
    public mutating func next() -> [UInt8] {
        var bytes = Array((corpus.inputs.randomElement(using: &random)?.bytes ?? []).prefix(Self.longest))
        for _ in 0..<Int.random(in: 1...6, using: &random) { mutate(&bytes) }
        return Array(bytes.prefix(Self.longest))
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, place + Int.random(in: 1...32, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.removeSubrange(place..<end)
        case 3: bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &random))
        case 4: bytes.insert(contentsOf: corpus.words.randomElement(using: &random) ?? [0], at: place)
        case 5: replaceNumber(in: &bytes, from: place)
        case 6:
            let other = corpus.inputs.randomElement(using: &random)?.bytes ?? []
            let cut = Int.random(in: 0...other.count, using: &random)
            bytes = Array(bytes[..<place] + other[cut...].prefix(Self.longest))
        default:
            let count = Int.random(in: 2...700, using: &random)
            let piece = corpus.words.randomElement(using: &random) ?? [0]
            bytes.insert(contentsOf: (0..<count).flatMap { _ in piece }, at: place)
        }
    }

    private mutating func replaceNumber(in bytes: inout [UInt8], from place: Int) {
        func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        guard let start = bytes[place...].firstIndex(where: isDigit) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.endIndex
        bytes.replaceSubrange(start..<end, with: Array((Self.numbers.randomElement(using: &random) ?? "0").utf8))
    }
}

private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
