import FuzzTargets
import Linux
import Testing

/// A little of what 'make fuzz' does for as long as it is let.
struct FuzzTests {
    /// Mutations of each target in a run; what takes longer has fewer.
    private static func count(_ target: FuzzTarget) -> Int {
        switch target {
        case .definition, .varlink, .ledger, .process: 1_500
        case .qmp: 300
        }
    }

    /// Real inputs, and those that once were found to do harm.
    @Test(arguments: FuzzTarget.allCases)
    func corpus(_ target: FuzzTarget) async throws {
        let corpus = try Corpus(of: target)
        #expect(corpus.inputs.count > 1)
        let violations = try await BlockingCalls.run {
            corpus.inputs.compactMap { name, bytes in Self.violation(of: target, by: bytes).map { "\(name): \($0)" } }
        }
        #expect(violations == [])
    }

    @Test(.timeLimit(.minutes(5)), arguments: FuzzTarget.allCases)
    func mutations(_ target: FuzzTarget) async throws {
        let corpus = try Corpus(of: target)
        let violations = try await BlockingCalls.run {
            var mutator = Mutator(corpus, seed: 1)
            return (0..<Self.count(target)).compactMap { index in
                let input = mutator.next()
                return Self.violation(of: target, by: input).map { "mutation \(index): \($0), by \(input)" }
            }
        }
        #expect(violations == [])
    }

    private static func violation(of target: FuzzTarget, by input: [UInt8]) -> String? {
        do {
            try target.check(input)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
