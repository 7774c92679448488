import SystemTestSupport
import Testing

/// What the definition of a guest under test says.
struct GuestPlan: Sendable {
    static let files = "/var/lib/perdure-tests"
    static let realQEMU = "/usr/bin/qemu-system-x86_64"

    var name = "web"
    /// Whose manager runs the guest; the system's where it is nil.
    var user: TestUser?
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
    /// Whether a version has had the guest that keeps no copies of what it boots with.
    var unpinned = false
    /// Of all taps together. Each VM process adds a descriptor for each.
    var queues = 0
    var machine: String?
    var qemu: String?
    /// Lines of [Handover], [Stop] and [Crash].
    var handover: [String] = []
    var stop: [String] = []
    var crash: [String] = []

    var unit: String { "perdure@\(name).service" }
    var path: String { "\(user.map { "\($0.home)/.config" } ?? "/etc")/perdure/\(name).guest" }
    var image: String { "\(user?.home ?? "/var/lib")/guests/\(name).img" }

    /// The descriptors that systemd keeps for the guest for as long as it lives. Each VM process adds one,
    /// and `queues`.
    var inventory: [String] {
        ["ledger", "vmstate", "console.in", "console.log", "ram.main"]
            + (unpinned ? [] : ["rom.firmware"])
            + (kernel == nil || unpinned ? [] : ["rom.kernel", "rom.initrd"])
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
            \((firmware.isEmpty ? [] : ["[Firmware]"] + firmware).joined(separator: "\n"))
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
        let write = #"mkdir -p "${1%/*}" && cat >"$1""#
        try await system.run(owner(["sh", "-c", write, "sh", path]), input: definition)
        guard let diskFormat else { return }
        let make = "mkdir -p \"${1%/*}\" && { test -e \"$1\" || qemu-img create -q -f \(diskFormat) \"$1\" 16M; }"
        try await system.run(owner(["sh", "-c", make, "sh", image]))
    }

    /// The command as the guest's owner runs it.
    func owner(_ command: [String]) -> [String] { user.map { $0.entering(command) } ?? command }

    func systemctl(_ arguments: String...) -> [String] {
        owner(["systemctl"] + (user == nil ? [] : ["--user"]) + arguments)
    }
}

/// An account of a booted system.
struct TestUser: Sendable {
    let name: String
    let number: Int

    var home: String { "/home/\(name)" }

    /// Where the user's manager runs, which is told apart by that.
    var group: String { "/user.slice/user-\(number).slice/user@\(number).service" }
    var environment: [String] { ["HOME=\(home)", "XDG_RUNTIME_DIR=/run/user/\(number)"] }

    func entering(_ command: [String]) -> [String] {
        ["setpriv", "--reuid", "\(number)", "--regid", "\(number)", "--init-groups", "env"] + environment + command
    }

    /// Makes the account, and has its manager run.
    static func make(_ name: String, on system: BootedSystem) async throws -> TestUser {
        try await system.run(["useradd", "--create-home", name])
        let number = try #require(Int(try await system.run(["id", "-u", name]).stdout.dropLast()))
        try await system.run(["loginctl", "enable-linger", name])
        try await system.waitUntil("the user's manager") {
            try await system.property("user@\(number).service", "ActiveState") == "active"
        }
        return TestUser(name: name, number: number)
    }
}
