import Foundation
import Synchronization
import SystemTestSupport
import Testing

/// All tests that need a booted system: one at a time, and only if there is something installed to test.
///
/// Add a suite as `extension SystemTests { @Suite struct … }`, so that it inherits these traits.
@Suite(
    .serialized,
    .enabled(if: BootedSystem.stage != nil, "PERDURE_TEST_STAGE names no installed tree"),
    .compactMapIssues { issue in
        issueCount.withLock { $0 += 1 }
        return issue
    }
)
enum SystemTests {}

extension Trait where Self == ConditionTrait {
    /// Skips tests where the trees could not be made, and says why.
    static func needs(_ trees: DebianTree...) -> Self {
        let missing = DebianTree.missing(trees)
        return .enabled(if: missing == nil, Comment(rawValue: missing ?? "All trees are there."))
    }
}

/// Whether tests are wanted that take more time than 'make test' has.
let isSoak = ProcessInfo.processInfo.environment["PERDURE_TEST_SOAK"] != nil

private let issueCount = Mutex(0)

/// Boots a system with what is to be tested, and always tears it down. If `body` fails, in whichever way, the end of
/// the system's journal is printed.
/// - Parameters:
///   - tree: the Debian to boot; this machine's where it is nil.
///   - stage: what is copied over it; what 'make install' makes where it is nil, nothing where it is empty.
func withBootedSystem<Result>(
    over tree: DebianTree? = nil,
    installing stage: String? = nil,
    _ body: (BootedSystem) async throws -> Result
) async throws -> Result {
    let stage = try #require(stage ?? BootedSystem.stage)
    let before = issueCount.withLock { $0 }
    let system = try await BootedSystem.start(installing: stage, over: tree)
    do {
        let result = try await body(system)
        if issueCount.withLock({ $0 }) != before {
            await printJournal(of: system)
        }
        try await system.stop()
        return result
    } catch {
        await printJournal(of: system)
        try? await system.stop()
        throw error
    }
}

private func printJournal(of system: BootedSystem) async {
    let test = Test.current?.name ?? "?"
    let text = await system.journalEnd()
    FileHandle.standardError.write(Data("--- journal of the system that '\(test)' booted ---\n\(text)---\n".utf8))
}
