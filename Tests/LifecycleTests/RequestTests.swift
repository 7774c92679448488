import Testing

@testable import Lifecycle

struct RequestTests {
    private static let unclear = Standing.unclear(reason: "the reason")

    private static let standings: [Standing] = [
        .off, .running, .saved(hasVMProcess: true), .saved(hasVMProcess: false), .waiting, unclear,
    ]

    /// What is granted; everything else is refused.
    private static let granted: [Request: [(Standing, Operation)]] = [
        .save: [(.running, .save)],
        .exec: [(.saved(hasVMProcess: true), .exec), (.saved(hasVMProcess: false), .exec), (.waiting, .exec)],
        .load: [(.waiting, .load)],
        .upgrade: [(.running, .handover)],
        .rehearse: [(.running, .rehearse)],
        .changeMemory: [(.running, .changeMemory)],
    ]

    @Test(arguments: Request.allCases, standings)
    func table(request: Request, standing: Standing) {
        let expected = Self.granted[request]?.first { $0.0 == standing }?.1
        switch request.operation(standing: standing) {
        case .success(let operation): #expect(operation == expected)
        case .failure(let refusal):
            #expect(expected == nil)
            #expect(!refusal.reason.isEmpty)
            #expect(refusal.isNotRunning == (standing == .off))
            #expect(refusal.reason.contains("the reason") == (standing == Self.unclear))
        }
    }

    /// What a person must do first is named.
    @Test(arguments: [
        (Request.save, Standing.saved(hasVMProcess: true), "'perdure exec'"),
        (.save, .waiting, "'perdure load'"),
        (.exec, .running, "'perdure save'"),
        (.load, .saved(hasVMProcess: false), "'perdure exec'"),
        (.upgrade, .saved(hasVMProcess: true), "'perdure exec'"),
        (.upgrade, .waiting, "'perdure load'"),
        (.rehearse, .saved(hasVMProcess: false), "'perdure exec'"),
        (.rehearse, .waiting, "'perdure load'"),
    ])
    func refusalNamesTheWay(request: Request, standing: Standing, way: String) throws {
        let refusal = #expect(throws: Refusal.self) { try request.operation(standing: standing).get() }
        #expect(try #require(refusal).reason.contains(way))
    }
}
