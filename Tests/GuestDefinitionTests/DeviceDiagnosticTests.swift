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
            "TPM",
            minimalText + "[TPM]\nModel=spi\nEnable=x\n[QEMU]\nExtraArguments=-tpmdev passthrough,id=a",
            [
                "demo.guest:6:7: 'spi' is not supported; use 'tis'",
                "demo.guest:7:8: 'x' is neither yes nor no",
                "demo.guest:9:16: '-tpmdev' can't be used: use [TPM]",
            ]
        ),
        Case(
            "TPM that QEMU loses answers of",
            minimalText + "[TPM]\nModel=crb",
            [
                "demo.guest:6:7: 'crb' can't be used: with it QEMU loses the answer to what the guest asks its TPM while it "
                    + "is handed over; use 'tis'"
            ]
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

    static let memoryCases: [Case] = [
        Case(
            "huge pages",
            "[RAM main]\nSize=1026M\nHugePages=1G\n[RAM more]\nSize=64M\nHugePages=4M\n[Kernel]\nImage=/boot/vmlinuz",
            [
                "demo.guest:2:6: 1026M is not a multiple of the huge pages' 1G",
                "demo.guest:6:11: '4M' is not supported; use '2M' or '1G'",
            ]
        ),
        Case(
            "no room",
            minimalText + "[Memory]\nMaximumSize=1G\nSlots=256\nLock=x\nOvercommit=x",
            [
                "demo.guest:6:13: 1G leaves no room for DIMMs beside the 1G of [RAM ID]; raise it or remove it",
                "demo.guest:7:7: '256' is out of range; use 1 to 255",
                "demo.guest:8:6: 'x' is neither yes nor no",
                "demo.guest:9:12: 'x' is neither yes nor no",
            ]
        ),
        Case(
            "odd maximum",
            minimalText + "[Memory]\nMaximumSize=1100M",
            ["demo.guest:6:13: 1100M is not a multiple of 128M, the size of the pieces that DIMMs come in"]
        ),
        Case(
            "slots for nothing",
            minimalText + "[Memory]\nSlots=2",
            ["demo.guest:6:7: warning: Slots= has no effect without MaximumSize="]
        ),
        Case(
            "topology",
            minimalText + "[CPU]\nCount=4\nSockets=2\nCores=3",
            [
                "demo.guest:6:7: 4 CPUs can't be 2 × 3 × 1 (sockets, cores, threads), which is 6; remove Count= or mend it"
            ]
        ),
        Case(
            "too many CPUs",
            minimalText + "[CPU]\nSockets=2\nCores=128",
            ["demo.guest:6:9: 2 × 128 × 1 (sockets, cores, threads) is 256 CPUs; use at most 255"]
        ),
        Case(
            "features",
            minimalText + "[CPU]\nFeatures=avx2",
            ["demo.guest:6:10: 'avx2' is not a CPU feature; write '+NAME' or '-NAME', as in '+avx2'"]
        ),
        Case(
            "features twice",
            minimalText + "[CPU]\nFeatures=+avx2 -avx2",
            ["demo.guest:6:10: 'avx2' is here twice"]
        ),
    ]

    @Test(arguments: memoryCases)
    func memoryAndCPUs(_ example: Case) {
        #expect(diagnostics(example.text) == example.expected)
    }

    @Test func countFollowsFromTheTopology() throws {
        let hardware = try load(minimalText + "[CPU]\nCores=2\nThreads=2").hardware
        #expect(hardware.cpuCount == 4)
        #expect(hardware.topology == CPUTopology(sockets: 1, cores: 2, threads: 2))
    }

    @Test(arguments: ["VirtioFS", "9p", "VSock", "NVMe", "VFIO", "USB", "Spice"])
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
