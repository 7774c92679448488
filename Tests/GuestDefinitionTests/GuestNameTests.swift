import GuestDefinition
import Testing

struct GuestNameTests {
    @Test(arguments: ["a", "web-1", "Web_1.example", "0", String(repeating: "x", count: 63)])
    func isAccepted(_ name: String) {
        #expect(GuestName.problem(with: name) == nil)
    }

    @Test(arguments: [
        ("", "the name of a guest is empty; give the part of 'NAME.guest' before the dot"),
        ("-a", "'-a' cannot name a guest, because it does not start with a letter or digit"),
        ("..", "'..' cannot name a guest, because it does not start with a letter or digit"),
        (
            "a/b",
            "'a/b' cannot name a guest, because it contains '/'; use letters, digits, '_', '.' and '-'"
        ),
        (
            "webé",
            "'webé' cannot name a guest, because it contains 'é'; use letters, digits, '_', '.' and '-'"
        ),
        (
            String(repeating: "x", count: 64),
            "'\(String(repeating: "x", count: 64))' is too long for the name of a guest; use at most 63 characters"
        ),
    ])
    func isRefused(_ name: String, _ message: String) {
        #expect(GuestName.problem(with: name) == message)
        let error = #expect(throws: DefinitionError.self) { try DefinitionLoader(files: MemoryFiles()).load(name) }
        #expect(error?.description == message)
    }

    @Test(arguments: [
        ("web", "perdure-web.slice"),
        ("web-1", #"perdure-web\x2d1.slice"#),
        ("a--b_c.d", #"perdure-a\x2d\x2db_c.d.slice"#),
    ])
    func slice(_ name: String, _ slice: String) {
        #expect(GuestName.slice(for: name) == slice)
    }
}
