import GuestDefinition
import Testing

/// Whatever is in a file, loading ends with a definition or with diagnostics that lie in it.
struct RobustnessTests {
    @Test(arguments: 0..<8)
    func randomBytes(_ seed: UInt64) {
        var random = SplitMix64(state: seed)
        for _ in 0..<100 {
            check((0..<Int.random(in: 1..<400, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
    }

    @Test(arguments: 0..<8)
    func randomTokens(_ seed: UInt64) {
        let tokens = [
            "[", "]", "=", "\\", "\n", "\r\n", " ", "\t", "#", ";", "[RAM main]\n", "[Disk a]\n", "[CPU]\n", "Size=",
            "Image=", "Count=", "TimeoutSec=", "1G", "99999999999999999999T", "1.5s", "µs", "é", "/", "X-", "\0",
            "\u{85}",
        ]
        var random = SplitMix64(state: seed)
        for _ in 0..<100 {
            let text = (0..<Int.random(in: 1..<80, using: &random)).map { _ in tokens.randomElement(using: &random)! }
            check(Array(text.joined().utf8))
        }
    }

    @Test(arguments: 0..<8)
    func mutations(_ seed: UInt64) {
        var random = SplitMix64(state: seed)
        for _ in 0..<100 {
            var bytes = Array(fullText.utf8)
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(bytes.randomElement(using: &random)!, at: index)
                default: bytes.insert(contentsOf: bytes[index...].prefix(40), at: 0)
                }
            }
            check(bytes)
        }
    }

    @Test func everyPrefixOfAFile() {
        let bytes = Array(fullText.utf8)
        for end in 1..<bytes.count { check(Array(bytes[..<end])) }
    }

    enum LargeFile: String, CaseIterable {
        case sections
        case continuedLines
        case repeatedKeys
        case controlCharacters

        var text: String {
            switch self {
            case .sections: (0..<60_000).map { "[RAM a\($0)]\nSize=64T\n" }.joined()
            case .continuedLines: "[Guest]\nDescription=" + String(repeating: "\\\n", count: 500_000)
            case .repeatedKeys: "[CPU]\n" + String(repeating: "Count=1\n", count: 120_000)
            case .controlCharacters: "[Guest]\n" + String(repeating: "\u{1}", count: 1_000_000)
            }
        }
    }

    /// Time must grow no faster than the file.
    @Test(.timeLimit(.minutes(1)), arguments: LargeFile.allCases)
    func filesOfTheLargestSize(_ file: LargeFile) {
        check(Array(file.text.utf8.prefix(DefinitionLoader.maximumFileSize)))
    }

    private func check(_ bytes: [UInt8]) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        do {
            _ = try load("") { $0.entries["/etc/perdure/demo.guest"] = .file(bytes) }
        } catch {
            #expect(!error.diagnostics.isEmpty)
            for diagnostic in error.diagnostics {
                #expect(diagnostic.line <= lines.count)
                // A column may be just behind the end, where something lacks.
                let length = diagnostic.line > 0 ? lines[diagnostic.line - 1].count : 0
                #expect((diagnostic.line > 0 ? 1 : 0)...length + 1 ~= diagnostic.column, "\(diagnostic)")
            }
            #expect(!error.description.isEmpty)
        }
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
