import GuestDefinition
import Testing

@testable import Supervisor

/// What a QEMU that others have started was told.
struct ForeignCommandLineTests {
    private static let plain = [
        "-name", "x", "-machine", "q35,accel=tcg,memory-backend=mem", "-cpu", "EPYC,+x2apic,-avx2,rdseed=off,enforce",
        "-smp", "4,sockets=1,cores=2,threads=2", "-m", "256", "-nodefaults", "--display", "none", "-daemonize",
        "-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-drive", "if=none,id=d,file=/a,,b,format=raw",
        "-device", "virtio-blk-pci,drive=d,id=root,addr=0x5,bus=pcie.0", "-netdev",
        "user,id=n,hostfwd=tcp::2222-:22,hostfwd=udp:192.0.2.1:53-:5353", "-device", "virtio-net-pci,netdev=n,romfile=",
        "-chardev", "stdio,id=c", "-device", "isa-serial,chardev=c,index=0", "-kernel", "/k", "-append", "a=b quiet",
        "-uuid", "B8B5A1B0-9C3F-4B5E-8F3A-2F0F4C1D7E60", "-qmp", "unix:/q,server=on", "-rtc", "base=utc", "-S",
    ]

    @Test func whatADefinitionCanSay() {
        let line = ForeignCommandLine(Self.plain)
        #expect(line.obstacles == [])
        #expect(line.memoryBackend == "mem" && line.backendTypes == ["mem": "memory-backend-memfd"])
        #expect(line.cpu == "EPYC" && line.cpuFeatures == ["x2apic=on", "avx2=off", "rdseed=off"])
        #expect(line.hasTopology && line.serialPorts == 1)
        #expect(line.kernel == DirectKernel(image: "/k", commandLine: "a=b quiet"))
        #expect(line.uuid == "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60")
        #expect(line.devices == ["virtio-blk-pci", "virtio-net-pci", "isa-serial"])
        #expect(
            line.networks["n"]?.forwards.map(\.description) == ["tcp:0.0.0.0:2222:22", "udp:192.0.2.1:53:5353"]
        )
    }

    @Test(
        arguments: [
            (["-device", "vfio-pci,host=1:0.0"], "'-device vfio-pci,host=1:0.0'"),
            (["-device", "virtio-blk-pci,drive=d,num-queues=4"], "'num-queues=4' of '-device virtio-blk-pci'"),
            (["-device", "virtio-net-pci,netdev=n,bus=port.0"], "'bus=port.0' of '-device virtio-net-pci'"),
            (["-device", "virtio-blk-pci,drive=d,write-cache"], nil), (["-global", "a.b=c"], "'-global a.b=c'"),
            (["-drive", "file=/a,format=raw"], "'-drive file=/a,format=raw'"),
            (["-drive", "if=none,id=e,file=/a,throttling.bps-total=1"], "'throttling.bps-total=1' of '-drive'"),
            (["-netdev", "tap,id=t,ifname=tap0"], "its network 't' is of type 'tap'"),
            (["-netdev", "user,id=t,restrict=on"], "'restrict=on' of '-netdev user'"),
            (["-netdev", "user,id=t,hostfwd=tcp::1-10.0.2.9:2"], "'hostfwd=tcp::1-10.0.2.9:2'"),
            (
                ["-object", "memory-backend-file,id=m,discard-data=on"],
                "'discard-data=on' of '-object memory-backend-file'"
            ),
            (["-object", "memory-backend-file,id=m,offset=2M"], "'offset=2M' of '-object memory-backend-file'"),
            (["-object", "memory-backend-file,id=m,readonly=on"], "'readonly=on' of '-object memory-backend-file'"),
            (["-object", "memory-backend-file,id=m,policy=bind"], "'policy=bind' of '-object"),
            (["-object", "memory-backend-file,id=m,mem-path=/a,size=1G,share=on,prealloc=on,pmem=off,offset=0"], nil),
            (["-object", "iothread,id=i"], "'-object iothread,id=i'"), (["-m", "256,slots=2"], "'slots=2' of '-m'"),
            (["-smp", "4,dies=2"], "'dies=2' of '-smp'"), (["-smp", "2,maxcpus=4"], "('maxcpus=')"),
            (["-cpu", "EPYC,vendor=Other"], "'vendor=Other' of '-cpu'"),
            (["-machine", "hpet=off"], "'hpet=off' of '-machine'"), (["-accel", "xen"], "'accel=xen' of '-accel'"),
            (["-serial", "null"], "it has 2 serial ports"), (["-bios", "/b"], "'-bios /b'"), (["/disk"], "'/disk'"),
            (["-rtc", "base=localtime"], "'-rtc base=localtime'"), (["-no-reboot"], "'-no-reboot'"),
            (["-vga", "std"], "'-vga std'"), (["-add-fd", "fd=3,set=1"], "'-add-fd fd=3,set=1'"),
        ]
    )
    func whatItCannot(arguments: [String], obstacle: String?) {
        let obstacles = ForeignCommandLine(Self.plain + arguments).obstacles
        guard let obstacle else {
            #expect(obstacles == [])
            return
        }
        #expect(obstacles.count == 1, "\(obstacles)")
        #expect(obstacles.first?.contains(obstacle) == true, "\(obstacles)")
    }

    @Test func allObstaclesAtOnce() {
        let obstacles = ForeignCommandLine(["-machine", "q35", "-usb", "-hda", "/x"]).obstacles
        let words = ["'-usb'", "'-hda /x'", "'-nodefaults'", "its RAM is private"]
        #expect(zip(obstacles, words).allSatisfy { $0.contains($1) } && obstacles.count == words.count, "\(obstacles)")
    }
}
