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
        .dump: [(.running, .dump)],
        .hold: [(.running, .hold)],
        .pause: [(.running, .pause)],
        .resume: [
            (.saved(hasVMProcess: true), .resume), (.saved(hasVMProcess: false), .restore), (.waiting, .load),
        ],
        .reset: [(.running, .reset)],
        .powerdown: [(.running, .powerdown)],
        .kill: [
            (.running, .kill), (.saved(hasVMProcess: true), .kill), (.saved(hasVMProcess: false), .kill),
            (.waiting, .kill),
        ],
    ]

    /// What is otherwise where a person wants the guest to stand still; nil for what is refused.
    private static func whilePaused(_ request: Request, otherwise: Operation?) -> Operation? {
        switch request {
        case .pause, .rehearse, .powerdown, .changeMemory: nil
        case .resume: .unpause
        default: otherwise
        }
    }

    @Test(arguments: Request.allCases, standings)
    func tableOfAPausedGuest(request: Request, standing: Standing) {
        var expected = Self.granted[request]?.first { $0.0 == standing }?.1
        if standing == .running { expected = Self.whilePaused(request, otherwise: expected) }
        #expect((try? request.operation(standing: standing, isPaused: true).get()) == expected)
    }

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
        (.hold, .waiting, "'perdure resume'"),
        (.pause, .saved(hasVMProcess: false), "'perdure resume'"),
        (.reset, .saved(hasVMProcess: false), "'perdure resume'"),
        (.powerdown, .waiting, "'perdure resume'"),
    ])
    func refusalNamesTheWay(request: Request, standing: Standing, way: String) throws {
        let refusal = #expect(throws: Refusal.self) { try request.operation(standing: standing).get() }
        #expect(try #require(refusal).reason.contains(way))
    }
}
