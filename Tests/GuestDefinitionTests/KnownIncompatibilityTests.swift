import GuestDefinition
import Testing

struct KnownIncompatibilityTests {
    private static let debian12 = QEMUVersion(major: 7, minor: 2, micro: 22)
    private static let debian13 = QEMUVersion(major: 10, minor: 0, micro: 13)
    private static let unstable = QEMUVersion(major: 11, minor: 1, micro: 3)

    /// Ledgers keep them: a change would make guests that run lose what is known of them.
    @Test func identifiersStay() {
        #expect(KnownIncompatibility.all.map(\.id) == ["virtio-queues-1024"])
    }

    @Test func longQueuesAreForWhatOlderQEMUsLeft() {
        for old in [Self.debian12, Self.debian13, QEMUVersion(major: 11, minor: 0, micro: 9)] {
            let left = KnownIncompatibility.left(by: old)
            #expect(left == ["virtio-queues-1024"])
            #expect(KnownIncompatibility.remedies(for: left, in: Self.unstable).map(\.remedy) == [.diskQueueSize(1024)])
            for new in [Self.debian12, Self.debian13] {
                #expect(KnownIncompatibility.remedies(for: left, in: new).isEmpty)
            }
        }
        #expect(KnownIncompatibility.left(by: Self.unstable).isEmpty)
        #expect(KnownIncompatibility.remedies(for: ["of-another-version"], in: Self.unstable).isEmpty)
    }
}
