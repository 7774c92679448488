import Foundation
import Testing

@testable import GuestDefinition

/// The definition of a guest that others have started says what they have said.
struct AdoptedGuestTests {
    private static let hardware: GuestHardware = {
        var hardware = GuestHardware(
            machine: "pc-i440fx-7.2",
            accelerator: .tcg,
            cpuCount: 4,
            cpuModel: "EPYC-v1",
            uuid: "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60",
            ram: [RAMBlock(id: "main", size: 256 << 20, backend: "mem")],
            kernel: DirectKernel(image: "/boot/vmlinuz", commandLine: "console=ttyS0 a=\"b c\""),
            disks: [
                Disk(id: "root", image: "/srv/root.raw", format: .raw, cache: .none, serial: "ROOT"),
                Disk(id: "disk1", image: "/srv/data.raw", format: .qcow2, readOnly: true),
            ],
            networks: [
                Network(
                    id: "nat",
                    type: .user,
                    mac: "52:54:00:12:34:56",
                    vhost: .no,
                    forwards: [PortForward(transport: .tcp, address: "0.0.0.0", port: 2222, guestPort: 22)]
                )
            ],
            console: false
        )
        hardware.ram[0].file = "/dev/shm/web"
        hardware.ram[0].hugePages = .twoMiB
        (hardware.disks[0].slot, hardware.disks[1].slot) = (3, 5)
        (hardware.networks[0].slot, hardware.networks[0].optionROM) = (2, true)
        hardware.topology = CPUTopology(sockets: 1, cores: 2, threads: 2)
        hardware.cpuFeatures = ["x2apic=on", "avx2=off"]
        return hardware
    }()

    @Test func loadingItGivesTheSame() throws {
        let text = AdoptedGuest(hardware: Self.hardware, qemu: "/opt/qemu").text
        let files = MemoryFiles(["/etc/perdure/web.guest": text, "/srv/root.raw": ""])
        let loader = DefinitionLoader(directories: ["/etc/perdure"], files: files)
        let (definition, warnings) = try loader.load("web")
        #expect(warnings.isEmpty)
        #expect(definition.hardware == Self.hardware.asDefined)
        #expect(definition.hardware != Self.hardware)
        #expect(definition.hardware.changes(from: Self.hardware) == [])
    }

    /// What no definition says stays in the ledger, and on every command line.
    @Test func placesAndNamesStay() throws {
        let stored = try JSONDecoder().decode(GuestHardware.self, from: JSONEncoder().encode(Self.hardware))
        #expect(stored == Self.hardware && stored.isPlausible)
        let arguments = QEMUCommandLine.arguments(
            guest: "web",
            generation: 3,
            hardware: stored,
            descriptors: VMProcessDescriptors(ram: ["main": 20], qmp: 10),
            version: QEMUVersion(major: 7, minor: 2),
            incoming: true
        )
        #expect(arguments.contains("pc-i440fx-7.2,memory-backend=mem"))
        #expect(
            arguments.contains("memory-backend-file,id=mem,size=268435456,mem-path=/proc/self/fd/20,share=on")
        )
        let devices = arguments.filter { $0.hasPrefix("virtio-") }
        #expect(
            devices == [
                "virtio-blk-pci,id=root,drive=disk.root,serial=ROOT,addr=0x3",
                "virtio-blk-pci,id=disk1,drive=disk.disk1,addr=0x5",
                "virtio-net-pci,id=nic.nat,netdev=net.nat,mac=52:54:00:12:34:56,addr=0x2",
            ]
        )
    }

    @Test func placesThatThereAreNot() {
        var hardware = Self.hardware
        hardware.disks[0].slot = 32
        #expect(!hardware.isPlausible)
        hardware = Self.hardware
        hardware.ram[0].backend = "a,share=off"
        #expect(!hardware.isPlausible)
    }
}
