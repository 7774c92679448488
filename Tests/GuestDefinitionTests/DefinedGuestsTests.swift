import Testing

@testable import GuestDefinition

struct DefinedGuestsTests {
    private struct Files: DefinitionFiles {
        func read(_ path: String, limit: Int) -> [UInt8]? { nil }
        func status(of path: String) -> FileStatus? { nil }

        func names(in directory: String) -> [String] {
            switch directory {
            case "/a": [".", "..", "web.guest", "web.guest.d", "db.guest", "db.guest~", ".guest"]
            case "/b": ["web.guest", "mail.guest", "bad name.guest"]
            default: []
            }
        }
    }

    @Test func namesAreThoseOfDefinitions() throws {
        #expect(try DefinedGuests.names(in: ["/a", "/b", "/c"], files: Files()) == ["db", "mail", "web"])
    }

    @Test(arguments: [
        ("5s", Duration.seconds(5)), ("1min 30s", .seconds(90)), ("2h", .seconds(7200)), ("7", .seconds(7)),
    ])
    func timeSpans(text: String, span: Duration) { #expect(TimeSpan.parse(text) == span) }

    @Test(arguments: ["", "soon", "-5s", "101 years", "99999999999999999999"])
    func otherTextsAreNone(text: String) { #expect(TimeSpan.parse(text) == nil) }
}
