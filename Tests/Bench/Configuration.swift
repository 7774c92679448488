import GuestDefinition

/// A guest to measure with. The same one runs under Perdure and under the floor.
struct Configuration: Sendable, Encodable {
    /// Names the guest as well.
    let name: String
    let title: String
    let memoryMiB: Int
    /// It writes to a disk as fast as it can, and is idle otherwise.
    let writes: Bool

    static let all = [
        Configuration(name: "idle128m", title: "128 MiB, idle", memoryMiB: 128, writes: false),
        Configuration(name: "idle1g", title: "1 GiB, idle", memoryMiB: 1024, writes: false),
        Configuration(name: "idle4g", title: "4 GiB, idle", memoryMiB: 4096, writes: false),
        Configuration(name: "writer1g", title: "1 GiB, writing to a disk", memoryMiB: 1024, writes: true),
    ]

    static let diskMiB = 256

    /// Most of the memory is under the guest's own test, and so in use. The test leaves most CPU time alone, because
    /// QEMU would otherwise keep a core busy with it; with much less, a large memory would not be filled in minutes.
    private var kernelCommandLine: String {
        let options = [
            "perdure.ram=\(memoryMiB * 7 / 8 - 48)",
            "perdure.duty=20",
            "perdure.tick_ms=5000",
        ]
        let disk = writes ? ["perdure.disk=/dev/vda", "perdure.writer=1"] : []
        return (["console=ttyS0", "quiet", "panic=-1"] + options + disk).joined(separator: " ")
    }

    private func kernel(in directory: String) -> DirectKernel {
        DirectKernel(
            image: directory + "/vmlinuz",
            initrd: directory + "/initramfs.cpio.gz",
            commandLine: kernelCommandLine
        )
    }

    /// What Perdure makes of `definition`.
    /// - Parameters:
    ///   - directory: where the test guest's kernel is.
    ///   - machine: a versioned name, as is `cpuModel`.
    func hardware(kernelIn directory: String, disk: String, machine: String, cpuModel: String) -> GuestHardware {
        GuestHardware(
            machine: machine,
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: cpuModel,
            ram: [RAMBlock(id: "main", size: UInt64(memoryMiB) << 20)],
            kernel: kernel(in: directory),
            disks: writes ? [Disk(id: "data", image: disk, format: .qcow2)] : []
        )
    }

    func definition(kernelIn directory: String, disk: String) -> String {
        let kernel = kernel(in: directory)
        var text = """
            [Guest]
            Accelerator=tcg
            [RAM main]
            Size=\(memoryMiB)M
            [Kernel]
            Image=\(kernel.image)
            Initrd=\(kernel.initrd ?? "")
            CommandLine=\(kernel.commandLine)

            """
        if writes { text += "[Disk data]\nImage=\(disk)\nFormat=qcow2\n" }
        return text
    }
}
