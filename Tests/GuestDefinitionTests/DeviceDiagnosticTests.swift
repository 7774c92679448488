import GuestDefinition
import Testing

/// What is said of devices, and of those that a guest can't have.
struct DeviceDiagnosticTests {
    @Test(arguments: cases)
    func isReported(_ example: Case) {
        #expect(diagnostics(example.text) == example.expected)
    }

    static let cases: [Case] = [
        Case(
            "devices",
            minimalText + "[RNG]\nEnable=maybe\n[Balloon]\nFreePageReporting=x\nDeflateOnOOM=x\n[Agent]\nPort=1",
            [
                "demo.guest:6:8: 'maybe' is neither yes nor no",
                "demo.guest:8:19: 'x' is neither yes nor no",
                "demo.guest:9:14: 'x' is neither yes nor no",
                "demo.guest:11:1: unknown key 'Port' in [Agent]; the keys of [Agent] are 'Enable'",
            ]
        ),
        Case(
            "watchdog",
            minimalText + "[Watchdog]\nAction=reboot",
            ["demo.guest:6:8: 'reboot' is not supported; use 'reset', 'shutdown', 'inject-nmi' or 'none'"]
        ),
        Case(
            "watchdog that ends QEMU",
            minimalText + "[Watchdog]\nAction=poweroff",
            [
                "demo.guest:6:8: 'poweroff' can't be used: it ends QEMU as a crash would; use 'shutdown' or 'reset'"
            ]
        ),
        Case(
            "watchdog that pauses",
            minimalText + "[Watchdog]\nAction=pause",
            ["demo.guest:6:8: 'pause' can't be used: it would leave the guest paused; use 'none' or 'reset'"]
        ),
        Case(
            "no option",
            minimalText + "[QEMU]\nExtraArguments=virtio-keyboard-pci",
            [
                "demo.guest:6:16: 'virtio-keyboard-pci' is not an option; begin with one, as in '-device "
                    + "virtio-keyboard-pci'"
            ]
        ),
        Case(
            "open quote",
            minimalText + "[QEMU]\nExtraArguments=-device 'a",
            ["demo.guest:6:16: a quote ' is not closed"]
        ),
        Case(
            "Perdure's own option",
            minimalText + "[QEMU]\nExtraArguments=-msg timestamp=on --monitor stdio",
            ["demo.guest:6:16: '--monitor' can't be used: Perdure has the only monitor"]
        ),
        Case(
            "RAM beside the guest's",
            minimalText + "[QEMU]\nExtraArguments=-object memory-backend-ram,id=a,size=1G",
            [
                "demo.guest:6:16: 'memory-backend-ram,id=a,size=1G' can't be used: RAM that is not in a [RAM ID] "
                    + "section is lost"
            ]
        ),
        Case(
            "too many extra arguments",
            minimalText + "[QEMU]\nExtraArguments=-" + String(repeating: "a", count: 4096),
            ["demo.guest:6:16: this has 4097 bytes, but extra arguments may have at most 4096"]
        ),
    ]

    @Test(arguments: ["VirtioFS", "9p", "VSock", "TPM", "NVMe", "VFIO", "USB", "Spice"])
    func refusedByNameWithTheReason(_ name: String) {
        let found = diagnostics(minimalText + "[\(name) a]\nPath=/srv")
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("demo.guest:5:1: [\(name)] is not supported: ") == true, "\(found)")
        // What can be done instead.
        #expect(found.first?.contains("; ") == true, "\(found)")
    }

    @Test func aDeviceCanBeSwitchedOffByADropIn() throws {
        let definition = try load(minimalText + "[RNG]\n[Balloon]\n[Watchdog]\n") { files in
            files.entries["/etc/perdure/demo.guest.d/no.conf"] = .file(
                Array("[RNG]\nEnable=no\n[Watchdog]\nEnable=no\nAction=none\n".utf8)
            )
        }
        #expect(definition.hardware.single == GuestDevices(balloon: Balloon()))
    }
}
