import Foundation
import Testing

@testable import Supervisor

final class GuestUsersTests {
    private let directory = FileManager.default.temporaryDirectory.appendingPathComponent("users-\(UUID())").path
    private var users: GuestUsers { GuestUsers(directory: directory, isForeign: { _ in false }) }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    @Test func aGuestKeepsItsUser() throws {
        let web = try users.user(of: "web")
        #expect(GuestUsers.range.contains(web))
        #expect(try users.user(of: "db") != web)
        #expect(try users.user(of: "web") == web)
    }

    /// What the number is made of never changes: a guest that runs has files of that user open.
    @Test func aNameHasItsNumber() throws {
        #expect(try users.user(of: "web") == GuestUsers.range.lowerBound + 48_273)
    }

    @Test func whatIsTakenIsNotGivenOut() throws {
        let first = try users.user(of: "web")
        try FileManager.default.removeItem(atPath: "\(directory)/\(first)")
        try FileManager.default.createSymbolicLink(
            atPath: "\(directory)/\(first)",
            withDestinationPath: "somebody-else"
        )
        let second = try users.user(of: "web")
        #expect(second == first + 1)
        #expect(try users.user(of: "web") == second)
    }

    @Test func accountsOfTheHostAreLeftAlone() throws {
        let own = try users.user(of: "web")
        try FileManager.default.removeItem(atPath: directory)
        let guarded = GuestUsers(directory: directory) { $0 == own || $0 == own + 1 }
        #expect(try guarded.user(of: "web") == own + 2)
        let full = GuestUsers(directory: directory) { _ in true }
        let error = #expect(throws: GuestUsers.NoneLeft.self) { try full.user(of: "db") }
        #expect(error?.description.contains(directory) == true)
    }

    @Test func whatIsReleasedIsFree() throws {
        #expect(try users.release("web") == nil)
        let (web, db) = (try users.user(of: "web"), try users.user(of: "db"))
        #expect(try users.release("web") == "\(directory)/\(web)")
        #expect(try users.release("web") == nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["\(db)"])
        #expect(try users.user(of: "web") == web)
    }

    @Test func noTwoGuestsHaveTheSame() async throws {
        let users = users.directory
        let numbers = try await withThrowingTaskGroup(of: UInt32.self) { group in
            for guest in 0..<500 {
                group.addTask {
                    try GuestUsers(directory: users, isForeign: { _ in false }).user(of: "guest-\(guest % 250)")
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(numbers).count == 250)
    }
}
