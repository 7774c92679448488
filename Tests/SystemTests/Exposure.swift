import Foundation
import SystemTestSupport
import Testing

/// How much of the host a unit can reach, by the measure of systemd-analyze(1).
enum Exposure {
    /// As docs/security.md says.
    private static func documented() throws -> Double {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let text = try String(contentsOf: repository.appending(path: "docs/security.md"), encoding: .utf8)
        let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return try #require(words.firstMatch(of: /security perdure@.service` says (\d\.\d)/).flatMap { Double($0.1) })
    }

    /// A supervisor can reach no more than its documentation says, under the systemd that runs there.
    static func expectDocumented(on system: BootedSystem) async throws {
        let limit = try documented()
        let threshold = "--threshold=\(Int((limit * 10).rounded()))"
        let command = ["systemd-analyze", "security", "--no-pager", threshold, "perdure@web.service"]
        let result = try await system.run(command, check: false)
        let verdict = result.stdout.split(separator: "\n").last ?? ""
        #expect(verdict.contains("Overall exposure level for perdure@web.service"), "\(result.stderr)")
        #expect(result.status == 0, "more than \(limit): \(verdict)")
    }
}
