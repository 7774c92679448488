import Testing

@testable import Reports

struct OutputStyleTests {
    private static let narrow = OutputStyle(isRich: true, columns: 20)

    @Test(arguments: [
        ("short", "short"),
        ("a line that is longer than twenty", "a line that is\n  longer than twenty"),
        ("  kept: what is there at the start", "  kept: what is\n  there at the start"),
        ("first\n  second line that is too long", "first\n  second line that\n  is too long"),
        ("averylongwordthatfitsnowhere and more", "averylongwordthatfitsnowhere\n  and more"),
        ("", ""),
    ])
    func wrapped(text: String, expected: String) {
        #expect(OutputStyleTests.narrow.wrapped(text, indent: 2) == expected)
        #expect(OutputStyle(isRich: false).wrapped(text, indent: 2) == text)
    }

    @Test func finding() {
        let text = OutputStyleTests.narrow.finding("note", "it is so", "it-is-so", "mend it before the night comes")
        #expect(text == "note: it is so\n  [it-is-so]\n  mend it before the\n  night comes")
    }
}
