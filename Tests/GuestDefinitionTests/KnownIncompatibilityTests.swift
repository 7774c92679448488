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

    @Test func whatNothingMends() {
        var hardware = GuestHardware(
            machine: "pc-q35-7.2",
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: "qemu64-v1",
            ram: [RAMBlock(id: "main", size: 64 << 20)],
            kernel: nil,
            disks: [Disk(id: "root", image: "/srv/root.raw", format: .raw)]
        )
        func refused(_ old: QEMUVersion, _ new: QEMUVersion) -> [String] {
            KnownIncompatibility.devicesRefused(of: hardware, bootedIn: old, by: new)
        }
        #expect(refused(Self.debian13, Self.unstable).isEmpty)
        hardware.networks = [Network(id: "lan", mac: "52:54:00:aa:bb:01", interface: "tap0")]
        hardware.single = GuestDevices(rng: true, balloon: Balloon(), watchdog: .reset, agent: true, display: true)
        #expect(refused(Self.debian13, Self.unstable) == ["[Network lan]", "[RNG]", "[Balloon]", "[Agent]"])
        for (old, new) in [
            (Self.debian12, Self.unstable), (Self.unstable, Self.unstable), (Self.debian13, Self.debian13),
            (Self.debian13, Self.debian12), (QEMUVersion(major: 10, minor: 0, micro: 12), Self.unstable),
        ] {
            #expect(refused(old, new).isEmpty)
        }
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
