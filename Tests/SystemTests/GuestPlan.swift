import SystemTestSupport

/// What the definition of a guest under test says.
struct GuestPlan: Sendable {
    static let files = "/var/lib/perdure-tests"
    static let realQEMU = "/usr/bin/qemu-system-x86_64"

    var name = "web"
    var ramMiB = 128
    /// What of its memory the guest rewrites and checks all the time.
    var testedMiB = 32
    /// `raw` or `qcow2`; nil for a guest without a disk.
    var diskFormat: String? = "raw"
    /// Lines of [Disk root] besides image and format.
    var disk: [String] = []
    /// What the guest calls that disk.
    var device = "/dev/vda"
    /// Kernel and initial RAM disk; nil for a guest that boots from the first disk of `sections`.
    var kernel: (image: String, initrd: String)? = ("\(files)/vmlinuz", "\(files)/initramfs.cpio.gz")
    /// Nil for what the test guest is told.
    var kernelCommandLine: String?
    /// Lines of [Firmware].
    var firmware: [String] = []
    /// Descriptors of what the guest has got while it ran.
    var added: [String] = []
    /// More sections.
    var sections: [String] = []
    /// Options of the test guest, such as `poweroff_after=40`.
    var options: [String] = []
    /// Of all taps together. Each VM process adds a descriptor for each.
    var queues = 0
    var machine: String?
    var qemu: String?
    /// Lines of [Handover], [Stop] and [Crash].
    var handover: [String] = []
    var stop: [String] = []
    var crash: [String] = []

    var unit: String { "perdure@\(name).service" }
    var path: String { "/etc/perdure/\(name).guest" }
    var image: String { "/var/lib/guests/\(name).img" }

    /// The descriptors that systemd keeps for the guest for as long as it lives. Each VM process adds one,
    /// and `queues`.
    var inventory: [String] {
        ["ledger", "vmstate", "console.in", "console.log", "ram.main", "rom.firmware"]
            + (kernel == nil ? [] : ["rom.kernel", "rom.initrd"])
            + added + (sections.contains("[Display]") ? ["rom.vgabios"] : [])
            + (sections.contains("[Agent]") ? ["agent", "agent.vm"] : [])
    }

    /// What the guest is told by its kernel's command line.
    var commandLine: String {
        if let kernelCommandLine { return kernelCommandLine }
        let words =
            ["console=ttyS0", "quiet", "panic=-1", "perdure.ram=\(testedMiB)"]
            + (diskFormat == nil ? [] : ["perdure.disk=\(device)"]) + options.map { "perdure.\($0)" }
        return words.joined(separator: " ")
    }

    var definition: String {
        let root = diskFormat.map { ["[Disk root]", "Image=\(image)", "Format=\($0)"] + disk } ?? []
        let kernel =
            kernel.map { ["[Kernel]", "Image=\($0.image)", "Initrd=\($0.initrd)", "CommandLine=\(commandLine)"] } ?? []
        return """
            [Guest]
            Accelerator=tcg
            \(machine.map { "Machine=\($0)" } ?? "")
            \(qemu.map { "QEMU=\($0)" } ?? "")
            [RAM main]
            Size=\(ramMiB)M
            [Firmware]
            \(firmware.joined(separator: "\n"))
            \((kernel + (self.kernel == nil ? sections + root : root + sections)).joined(separator: "\n"))
            [Console]
            Retain=64M
            [Handover]
            \(handover.joined(separator: "\n"))
            [Stop]
            \(stop.joined(separator: "\n"))
            [Crash]
            \(crash.joined(separator: "\n"))

            """
    }

    /// Writes the definition, and makes the disk's image if there is none yet.
    func write(to system: BootedSystem) async throws {
        try await system.write(path, definition)
        guard let diskFormat else { return }
        let make = "mkdir -p \"${1%/*}\" && { test -e \"$1\" || qemu-img create -q -f \(diskFormat) \"$1\" 16M; }"
        try await system.run(["sh", "-c", make, "sh", image])
    }
}
