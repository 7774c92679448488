import Foundation
import SystemTestSupport
import Testing

/// How much of the host a unit can reach, by the measure of systemd-analyze(1).
enum Exposure {
    /// By unit, as docs/security.md says.
    private static func documented() throws -> [String: Double] {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let text = try String(contentsOf: repository.appending(path: "docs/security.md"), encoding: .utf8)
        let rows = text.matches(of: #/\| `(perdure[^` ]*\.service)` \|.*\| (\d+\.\d+) \|\n/#)
        return Dictionary(uniqueKeysWithValues: rows.map { (String($0.1), Double($0.2) ?? 0) })
    }

    /// No unit can reach more than its documentation says, under the systemd that runs there; a supervisor at most 2.5.
    static func expectDocumented(on system: BootedSystem) async throws {
        let documented = try documented()
        let units = ["perdure-helper@", "perdure-metrics", "perdure-metrics@", "perdure@"].map { "\($0).service" }
        #expect(documented.keys.sorted() == units)
        #expect(try #require(documented["perdure@.service"]) <= 2.5)
        for (unit, limit) in documented {
            let threshold = "--threshold=\(Int((limit * 10).rounded()))"
            let instance = unit.replacing("@", with: "@x")
            let command = ["systemd-analyze", "security", "--no-pager", threshold, instance]
            let result = try await system.run(command, check: false)
            let verdict = result.stdout.split(separator: "\n").last ?? ""
            #expect(verdict.contains("Overall exposure level for \(instance)"), "\(result.stderr)")
            #expect(result.status == 0, "more than \(limit): \(verdict)")
        }
    }
}
