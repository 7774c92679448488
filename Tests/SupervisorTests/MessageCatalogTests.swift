import Foundation
import Testing

@testable import Supervisor

/// `units/perdure.catalog`, which 'journalctl -x' shows.
struct MessageCatalogTests {
    private struct Text {
        var subject: String?
        var isOurs = false
        var body = ""
    }

    private static func catalog() throws -> [(id: String, text: Text)] {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../units/perdure.catalog")
        var found: [(id: String, text: Text)] = []
        for line in try String(contentsOf: path, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("-- ") {
                found.append((String(line.dropFirst(3)), Text()))
            } else if found.isEmpty {
                #expect(line.hasPrefix("#"))
            } else if line.hasPrefix("Subject: ") {
                found[found.count - 1].text.subject = String(line.dropFirst("Subject: ".count))
            } else if line == "Defined-By: Perdure" {
                found[found.count - 1].text.isOurs = true
            } else {
                found[found.count - 1].text.body += line
            }
        }
        return found
    }

    @Test func everyMessageHasOneText() throws {
        let catalog = try MessageCatalogTests.catalog()
        #expect(catalog.map(\.id).sorted() == MessageID.allCases.map(\.rawValue).sorted())
        for (id, text) in catalog {
            #expect(text.subject?.isEmpty == false && text.isOurs && !text.body.isEmpty, "\(id)")
        }
    }

    @Test func identifiersAreRandomAndDifferent() {
        let identifiers = MessageID.allCases.map(\.rawValue)
        #expect(Set(identifiers).count == identifiers.count)
        for identifier in identifiers {
            #expect(identifier.wholeMatch(of: /[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}/) != nil)
        }
    }
}
