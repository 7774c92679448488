import Testing

@testable import Varlink

struct FramingTests {
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8).map { $0 == UInt8(ascii: "|") ? 0 : $0 } }

    private static func take(_ framing: inout VarlinkFraming, _ text: String) throws -> [String] {
        try framing.take(bytes(text)[...]).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func joinedAndSplit() throws {
        var framing = VarlinkFraming()
        #expect(try Self.take(&framing, "one|two|thr") == ["one", "two"])
        #expect(try Self.take(&framing, "e") == [])
        #expect(try Self.take(&framing, "e|") == ["three"])
        #expect(try Self.take(&framing, "") == [])
        #expect(try Self.take(&framing, "||x|") == ["", "", "x"])
    }

    @Test func everySplit() throws {
        let text = "one||two|"
        for split in 0...text.count {
            var framing = VarlinkFraming()
            let found =
                try Self.take(&framing, String(text.prefix(split))) + Self.take(&framing, String(text.dropFirst(split)))
            #expect(found == ["one", "", "two"])
        }
    }

    @Test func longest() throws {
        let longest = [UInt8](repeating: 7, count: VarlinkMessage.maximumLength)
        var framing = VarlinkFraming()
        #expect(try framing.take((longest + [0])[...]) == [longest])
        #expect(try framing.take(longest[...]).isEmpty)
        #expect(try framing.take([0]) == [longest])
    }

    /// However it comes in.
    @Test(
        arguments: [[VarlinkMessage.maximumLength + 1], [VarlinkMessage.maximumLength, 1], [1, 1 << 17]],
        [true, false]
    )
    func tooLong(pieces: [Int], ends: Bool) {
        var framing = VarlinkFraming()
        #expect(throws: VarlinkFraming.TooLong.self) {
            for (index, count) in pieces.enumerated() {
                let isLast = index == pieces.count - 1
                _ = try framing.take(([UInt8](repeating: 7, count: count) + (ends && isLast ? [0] : []))[...])
            }
        }
    }
}
