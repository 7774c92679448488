import Testing

@testable import Supervisor

struct StoreHealthTests {
    @Test func aLossAndItsEndAreSaidOnce() {
        var health = StoreHealth()
        #expect(health.take(.whole) == (nil, nil))
        #expect(health.take(.short(reason: "a")) == (.incomplete(reason: "a"), .seconds(1)))
        #expect(health.problem == "a")
        #expect(health.take(.short(reason: "a")) == (nil, .seconds(2)))
        #expect(health.take(.short(reason: "b")) == (.incomplete(reason: "b"), .seconds(4)))
        #expect(health.take(.whole) == (.complete, nil))
        #expect(health.problem == nil)
        #expect(health.take(.whole) == (nil, nil))
        #expect(health.take(.short(reason: "b")) == (.incomplete(reason: "b"), .seconds(1)))
    }

    /// As while systemd is executed anew.
    @Test func aMissingAnswerIsNoLossYet() {
        var health = StoreHealth()
        #expect(health.take(.unknown(reason: "a")) == (nil, .seconds(1)))
        #expect(health.take(.unknown(reason: "a")) == (nil, .seconds(2)))
        #expect(health.take(.whole) == (nil, nil))
        for _ in 1...2 { #expect(health.take(.unknown(reason: "a")).report == nil) }
        #expect(health.take(.unknown(reason: "a")).report == .incomplete(reason: "a"))
        #expect(health.take(.unknown(reason: "a")).report == nil)
    }

    @Test func retriesBecomeRare() {
        var health = StoreHealth()
        let delays = (1...9).map { _ in health.take(.short(reason: "a")).retryAfter }
        #expect(delays == [1, 2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
    }
}
