import Foundation
import GuestDefinition
import Linux
import Testing

struct GuestHardwareTests {
    private static let full = QEMUCommandLineTests.twoDisks

    /// This text is in ledgers of guests that run: it may grow, but must stay readable.
    private static let stored = """
        {"accelerator":"tcg","console":true,"cpuCount":2,"cpuModel":"qemu64-v1",\
        "disks":[{"aio":"threads","bus":"virtio-blk","cache":"writeback","device":"disk","discard":true,\
        "format":"qcow2","id":"root","image":"\\/srv\\/a,b \\"c\\"\\/root.qcow2","isBlockDevice":false,\
        "readOnly":false,"serial":"ROOT-1"},\
        {"aio":"threads","bus":"virtio-blk","cache":"writeback","device":"disk","discard":false,\
        "format":"raw","id":"data","image":"\\/srv\\/data.raw","isBlockDevice":false,"readOnly":true}],\
        "kernel":{"commandLine":"console=ttyS0 panic=-1 quiet=a,b","image":"\\/boot\\/vmlinuz",\
        "initrd":"\\/boot\\/initrd.img"},"machine":"pc-q35-7.2",\
        "ram":[{"id":"main","size":268435456}],"uuid":"b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60"}
        """

    @Test func theStoredFormIsStable() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        #expect(try String(decoding: encoder.encode(Self.full), as: UTF8.self) == Self.stored)
        #expect(try JSONDecoder().decode(GuestHardware.self, from: Data(Self.stored.utf8)) == Self.full)
    }

    @Test func whatIsOptionalMayBeAbsent() throws {
        let text = """
            {"machine":"q35","accelerator":"kvm","cpuCount":1,"cpuModel":"host","console":false,
             "ram":[{"id":"main","size":70368744177664}],"kernel":{"image":"/k","commandLine":""},
             "disks":[{"id":"a","image":"/a","format":"raw","readOnly":false,"discard":true}],"addedLater":1}
            """
        let hardware = try JSONDecoder().decode(GuestHardware.self, from: Data(text.utf8))
        #expect(
            hardware
                == GuestHardware(
                    machine: "q35",
                    accelerator: .kvm,
                    cpuCount: 1,
                    cpuModel: "host",
                    ram: [RAMBlock(id: "main", size: 64 << 40)],
                    kernel: DirectKernel(image: "/k"),
                    disks: [Disk(id: "a", image: "/a", format: .raw)],
                    console: false
                )
        )
    }

    /// What the guest does not notice, a handover changes; the rest waits.
    @Test func changesAreSplitByWhoNotices() throws {
        let running = Self.full
        var wanted = Self.full
        (wanted.machine, wanted.cpuModel, wanted.cpuCount) = ("q35", "qemu64", 3)
        wanted.disks[0].discard = false
        wanted.disks[1].serial = "DATA"
        let known = GuestDefinition(name: "a", hardware: running)
        var definition = GuestDefinition(name: "a", hardware: wanted)
        definition.handover.save = .seconds(7)
        definition.handover.stop = .seconds(1)
        definition.handover.resume = .seconds(2)
        definition.stop = StopPolicy(timeout: .seconds(1), limit: .seconds(60))
        definition.crash.onCrash = .restart
        definition.crash.restartBurst = 7
        definition.crash.restartInterval = .seconds(60)
        definition.crash.dump = true
        definition.crash.dumpDirectory = "/srv/dumps"
        definition.crash.dumpRetain = 1
        definition.consoleRetain = 2 << 20
        definition.consoleForward = true
        let changes = DefinitionChanges(to: definition, from: known, running: running)
        #expect(changes.waiting.map { $0.prefix { $0 != "=" } } == ["[CPU] Count", "[Disk data] Serial"])
        #expect(
            changes.applied == [
                "[Disk root] Discard= is no, the running guest has yes",
                "[Handover] StopTimeoutSec= is 1.0 seconds, the supervisor has 5.0 seconds",
                "[Handover] SaveTimeoutSec= is 7.0 seconds, the supervisor has 5.0 seconds",
                "[Handover] ContinueTimeoutSec= is 2.0 seconds, the supervisor has 5.0 seconds",
                "[Stop] TimeoutSec= is 1.0 seconds, the supervisor has 90.0 seconds",
                "[Stop] LimitSec= is 60.0 seconds, the supervisor has 1800.0 seconds",
                "[Crash] OnCrash= is restart, the supervisor has fail",
                "[Crash] RestartLimitBurst= is 7, the supervisor has 3",
                "[Crash] RestartLimitIntervalSec= is 60.0 seconds, the supervisor has 600.0 seconds",
                "[Crash] Dump= is yes, the supervisor has no",
                "[Crash] DumpDirectory= is /srv/dumps, the supervisor has /var/lib/perdure/a",
                "[Crash] DumpRetain= is 1, the supervisor has 2",
                "[Console] Retain= is 2M, the supervisor has 1M",
                "[Console] ForwardToJournal= is yes, the supervisor has no",
            ]
        )
        let next = running.applyingHostSettings(of: wanted)
        #expect(next.disks.map(\.discard) == [false, false])
        wanted.disks[0].cache = .none
        wanted.disks[0].aio = .native
        wanted.disks[1].cache = .directsync
        wanted.disks[1].aio = .native
        let direct = running.applyingHostSettings(of: wanted)
        #expect(direct.disks.map(\.cache) == [.none, .writeback])
        #expect(direct.disks.map(\.aio) == [.native, .threads])
        #expect(next.disks.map(\.serial) == running.disks.map(\.serial))
        #expect(DefinitionChanges(to: known, from: nil, running: running) == DefinitionChanges())
    }

    /// As they are in ledgers of guests that run; the rest of a guest's hardware does not change with them.
    @Test func storedDevicesAreStable() throws {
        let stored = """
            {"agent":true,"balloon":{"deflateOnOOM":true,"freePageReporting":true},"display":true,\
            "extraArguments":["-msg","timestamp=on"],"pvpanic":true,"rng":true,\
            "tpm":"tis","watchdog":"shutdown"}
            """
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let devices = QEMUCommandLineTests.everyDevice.single
        #expect(try String(decoding: encoder.encode(devices), as: UTF8.self) == stored)
        #expect(try JSONDecoder().decode(GuestDevices.self, from: Data(stored.utf8)) == devices)
        #expect(try JSONDecoder().decode(GuestDevices.self, from: Data("{}".utf8)) == GuestDevices())
        let text = try encoder.encode(QEMUCommandLineTests.everyDevice)
        #expect(try JSONDecoder().decode(GuestHardware.self, from: text) == QEMUCommandLineTests.everyDevice)
    }

    @Test func storedMemoryIsStable() throws {
        let grown = QEMUCommandLineTests.grownMemory
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let text = try String(decoding: encoder.encode(grown), as: UTF8.self)
        for part in [
            """
            "addedDIMMs":[{"address":4294967296,"id":"more","size":134217728,"slot":0},\
            {"address":4429185024,"id":"last","size":134217728,"slot":1}]
            """, #""cpuFeatures":["avx2=on","x2apic=off"]"#, #""locked":true"#,
            #""ram":[{"hugePages":"2M","id":"main","size":268435456}]"#,
            #""room":{"maximumSize":1073741824,"slots":4}"#,
            #""topology":{"cores":4,"sockets":1,"threads":2}"#,
        ] {
            #expect(text.contains(part), "\(text)")
        }
        #expect(try JSONDecoder().decode(GuestHardware.self, from: Data(text.utf8)) == grown)
        #expect(grown.isPlausible)
        #expect(grown.memoryBlocks.map(\.id) == ["main", "more", "last"])
    }

    @Test func changedMemoryAndCPUsAreNamed() {
        let (old, new) = (QEMUCommandLineTests.oneBlock, QEMUCommandLineTests.grownMemory)
        #expect(
            new.changes(from: old) == [
                "[CPU] Count= is 8, the running guest has 2",
                "[CPU] Sockets= is 1, the running guest has none",
                "[CPU] Cores= is 4, the running guest has none",
                "[CPU] Threads= is 2, the running guest has none",
                "[CPU] Features= is avx2=on,x2apic=off, the running guest has none",
                "[Memory] MaximumSize= is 1G, the running guest has none",
                "[Memory] Slots= is 4, the running guest has none",
                "[Memory] Lock= is yes, the running guest has no",
                "[RAM main] HugePages= is 2M, the running guest has none",
            ]
        )
        // What is locked only the host notices.
        #expect(old.applyingHostSettings(of: new) == modified(old) { $0.isLocked = true })
    }

    @Test func changedDevicesAreNamed() {
        let all = QEMUCommandLineTests.everyDevice
        #expect(
            all.changes(from: Self.full) == [
                "[RNG] Enable= is yes, the running guest has no",
                "[Balloon] Enable= is yes, the running guest has no",
                "[Watchdog] Enable= is yes, the running guest has no",
                "[PVPanic] Enable= is yes, the running guest has no",
                "[Agent] Enable= is yes, the running guest has no",
                "[TPM] Enable= is yes, the running guest has no",
                "[Display] Enable= is yes, the running guest has no",
                "[QEMU] ExtraArguments= is -msg timestamp=on, the running guest has none",
            ]
        )
        let other = modified(all) {
            $0.single.balloon = Balloon(deflateOnOOM: false)
            $0.single.watchdog = .reset
        }
        #expect(
            other.changes(from: all) == [
                "[Balloon] FreePageReporting= is no, the running guest has yes",
                "[Balloon] DeflateOnOOM= is no, the running guest has yes",
                "[Watchdog] Action= is reset, the running guest has shutdown",
            ]
        )
        // What QEMU does when the watchdog runs out is not seen by the guest before.
        #expect(all.applyingHostSettings(of: other).changes(from: all).count == 1)
        #expect(Self.full.applyingHostSettings(of: other) == Self.full)
    }

    /// As above, of networks.
    @Test func theStoredFormOfNetworksIsStable() throws {
        let networks = QEMUCommandLineTests.networks.networks
        let stored = """
            [{"bridge":"br0","forwards":[],"id":"lan","interface":"tap-web","mac":"52:54:00:aa:bb:01","queues":1,\
            "type":"tap","vhost":"auto"},\
            {"forwards":[],"id":"wide","interface":"tap-wide","mac":"52:54:00:aa:bb:02","mtu":9000,"queues":2,\
            "type":"tap","vhost":"auto"},\
            {"forwards":[{"address":"127.0.0.1","guestPort":22,"port":2222,"transport":"tcp"},\
            {"address":"0.0.0.0","guestPort":5353,"port":53,"transport":"udp"}],"id":"nat","interface":"",\
            "mac":"52:54:00:aa:bb:03","queues":1,"type":"user","vhost":"auto"},\
            {"forwards":[],"id":"edge","interface":"tap-edge","mac":"52:54:00:aa:bb:04","queues":1,"type":"tap",\
            "uplink":{"interface":"pm-edge","mode":"vepa","parent":"eth0"},"vhost":"auto"}]
            """
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        #expect(try String(decoding: encoder.encode(networks), as: UTF8.self) == stored)
        #expect(try JSONDecoder().decode([Network].self, from: Data(stored.utf8)) == networks)
    }

    @Test func changesOfNetworksAreSplitByWhoNotices() {
        let running = QEMUCommandLineTests.networks
        var wanted = running
        wanted.networks[0].bridge = "br1"
        wanted.networks[0].vhost = .no
        wanted.networks[0].mac = "52:54:00:aa:bb:09"
        wanted.networks[1].queues = 4
        wanted.networks[1].mtu = nil
        wanted.networks[1].interface = "tap1"
        wanted.networks[2].forwards.removeLast()
        wanted.networks[3].uplink?.parent = "eth1"
        wanted.networks[3].uplink?.mode = .private
        let next = running.applyingHostSettings(of: wanted)
        #expect(
            next.changes(from: running) == [
                "[Network lan] Bridge= is br1, the running guest has br0",
                "[Network lan] VHost= is no, the running guest has auto",
                "[Network nat] Forward= is tcp:127.0.0.1:2222:22, the running guest has tcp:127.0.0.1:2222:22 "
                    + "udp:0.0.0.0:53:5353",
                "[Network edge] Parent= is eth1, the running guest has eth0",
                "[Network edge] Mode= is private, the running guest has vepa",
            ]
        )
        #expect(
            wanted.changes(from: next) == [
                "[Network lan] MACAddress= is 52:54:00:aa:bb:09, the running guest has 52:54:00:aa:bb:01",
                "[Network wide] Interface= is tap1, the running guest has tap-wide",
                "[Network wide] Queues= is 4, the running guest has 2",
                "[Network wide] MTU= is not set, the running guest has 9000",
            ]
        )
        wanted.networks[0].type = .user
        #expect(running.applyingHostSettings(of: wanted).networks[0] == running.networks[0])
        wanted.networks[3].uplink = nil
        #expect(running.applyingHostSettings(of: wanted).networks[3] == running.networks[3])
        #expect(wanted.changes(from: running).contains("[Network edge] Type= is tap, the running guest has macvtap"))
    }

    @Test func equalHardwareHasNoChanges() {
        #expect(Self.full.changes(from: Self.full).isEmpty)
    }

    @Test func everyDifferenceIsNamed() {
        let new = GuestHardware(
            machine: "pc-q35-10.0",
            accelerator: .kvm,
            cpuCount: 4,
            cpuModel: "host",
            ram: [RAMBlock(id: "main", size: 512 << 20), RAMBlock(id: "more", size: 1 << 30)],
            kernel: DirectKernel(image: "/boot/new"),
            firmware: Firmware(
                kind: .uefi,
                secureBoot: true,
                image: "/code.fd",
                variables: VariableStore(path: "/vars.fd", template: "/template.fd")
            ),
            disks: [Disk(id: "root", image: "/srv/new", format: .raw, readOnly: true, discard: false)],
            cloudInit: CloudInit(instanceID: "i", hostname: "h"),
            credentials: [Credential(id: "root", name: "n", file: "/f")],
            console: false
        )
        #expect(
            new.changes(from: Self.full) == [
                "[Guest] Machine= is pc-q35-10.0, the running guest has pc-q35-7.2",
                "[Guest] Accelerator= is kvm, the running guest has tcg",
                "[Guest] UUID= is not set, the running guest has b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60",
                "[CPU] Count= is 4, the running guest has 2",
                "[CPU] Model= is host, the running guest has qemu64-v1",
                "[RAM main] Size= is 512M, the running guest has 256M",
                "[RAM more] is new, the running guest does not have it",
                "[Firmware] Type= is uefi, the running guest has bios",
                "[Firmware] SecureBoot= is yes, the running guest has no",
                "[Firmware] Image= is /code.fd, the running guest has none",
                "[Firmware] Variables= is /vars.fd, the running guest has none",
                "[Kernel] Image= is /boot/new, the running guest has /boot/vmlinuz",
                "[Kernel] Initrd= is not set, the running guest has /boot/initrd.img",
                "[Kernel] CommandLine= is not set, the running guest has console=ttyS0 panic=-1 quiet=a,b",
                "[Disk root] Image= is /srv/new, the running guest has /srv/a,b \"c\"/root.qcow2",
                "[Disk root] Format= is raw, the running guest has qcow2",
                "[Disk root] ReadOnly= is yes, the running guest has no",
                "[Disk root] Discard= is no, the running guest has yes",
                "[Disk root] Serial= is not set, the running guest has ROOT-1",
                "[Disk data] is gone, the running guest has it",
                "[CloudInit] is new, the running guest does not have it",
                "[Credential root] is new, the running guest does not have it",
                "[Console] Enable= is no, the running guest has yes",
            ]
        )
        #expect(
            Self.full.changes(from: new).contains(
                "[Disk root] Serial= is ROOT-1, the running guest has none"
            )
        )
    }

    @Test func differencesForTheFirstBootAreNamed() {
        let old = modified(Self.full) {
            $0.cloudInit = CloudInit(instanceID: "i", hostname: "h", userData: "/u")
            $0.credentials = [Credential(id: "root", name: "n", file: "/f")]
        }
        let new = modified(old) {
            $0.cloudInit = CloudInit(instanceID: "j", hostname: "g", networkConfig: "/n", sshKeys: "/k")
            $0.credentials?[0].file = "/g"
        }
        #expect(
            new.changes(from: old) == [
                "[CloudInit] InstanceID= is j, the running guest has i",
                "[CloudInit] Hostname= is g, the running guest has h",
                "[CloudInit] SSHKeys= is /k, the running guest has none",
                "[CloudInit] UserData= is not set, the running guest has /u",
                "[CloudInit] NetworkConfig= is /n, the running guest has none",
                "[Credential root] File= is /g, the running guest has /f",
            ]
        )
        #expect(Self.full.changes(from: old).contains("[CloudInit] is gone, the running guest has it"))
    }

    @Test func movedSectionsAreNamed() {
        let swapped = modified(Self.full) { $0.disks.reverse() }
        #expect(
            swapped.changes(from: Self.full) == [
                "the order of the [Disk ID] sections is data, root, the running guest has root, data"
            ]
        )
        let inFront = modified(Self.full) {
            $0.disks.insert(Disk(id: "new", image: "/new", format: .raw), at: 0)
        }
        #expect(
            inFront.changes(from: Self.full) == [
                "[Disk new] is new, the running guest does not have it",
                "the order of the [Disk ID] sections is new, root, data, the running guest has root, data",
            ]
        )
        let behind = modified(Self.full) { $0.disks.append(Disk(id: "new", image: "/new", format: .raw)) }
        #expect(behind.changes(from: Self.full) == ["[Disk new] is new, the running guest does not have it"])
    }
}
