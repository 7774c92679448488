import GuestDefinition

/// Files by path. Directories are there when something is in them.
struct MemoryFiles: DefinitionFiles {
    enum Entry: Sendable {
        case file([UInt8])
        case blockDevice
        /// The same file as another path.
        case link(to: String)
        case unusable(String)
    }

    var entries: [String: Entry] = [:]

    /// With the kernel and the images that test definitions mention.
    init(_ texts: [String: String] = [:]) {
        for path in [
            "/boot/vmlinuz", "/boot/initrd.img", "/srv/root.qcow2", "/srv/data.raw", "/opt/qemu", "/srv/code.fd",
            "/srv/template.fd", "/srv/keys.pub", "/srv/user-data", "/srv/network-config", "/srv/secret-root",
            "/srv/motd",
        ] {
            entries[path] = .file([0])
        }
        entries["/dev/vg/data"] = .blockDevice
        entries["/srv/link.raw"] = .link(to: "/srv/data.raw")
        entries["/srv/secret/disk.raw"] = .unusable("cannot be used: Permission denied")
        for (path, text) in texts { entries[path] = .file(Array(text.utf8)) }
    }

    func read(_ path: String, limit: Int) throws(FileProblem) -> [UInt8]? {
        switch entries[path] {
        case .file(let bytes):
            guard bytes.count <= limit else { throw FileProblem("has more than \(limit) bytes") }
            return bytes
        case .link(let target): return try read(target, limit: limit)
        case .unusable(let reason): throw FileProblem(reason)
        case .blockDevice: throw FileProblem("is not a regular file")
        case nil: return nil
        }
    }

    func names(in directory: String) throws(FileProblem) -> [String] {
        if case .unusable(let reason) = entries[directory] { throw FileProblem(reason) }
        let prefix = directory + "/"
        let below = entries.keys.filter { $0.hasPrefix(prefix) }
        return Array(Set(below.compactMap { $0.dropFirst(prefix.count).split(separator: "/").first.map(String.init) }))
    }

    func status(of path: String) throws(FileProblem) -> FileStatus? {
        let inode = UInt64(entries.keys.sorted().firstIndex(of: path) ?? 0)
        switch entries[path] {
        case .file: return FileStatus(kind: .regular, identity: .init(device: 1, inode: inode))
        case .blockDevice: return FileStatus(kind: .blockDevice, identity: .init(device: 2, inode: inode))
        case .link(let target): return try status(of: target)
        case .unusable(let reason): throw FileProblem(reason)
        case nil:
            let isDirectory = entries.keys.contains { $0.hasPrefix(path + "/") }
            return isDirectory ? FileStatus(kind: .directory, identity: .init(device: 3, inode: 0)) : nil
        }
    }
}

/// Four lines that every definition needs.
let minimalText = """
    [RAM main]
    Size=1G
    [Kernel]
    Image=/boot/vmlinuz

    """

let fullText = """
    # A guest with every key.
    [Guest]
    Description=Web server, first of two
    Machine=pc-q35-7.2
    Accelerator=tcg
    QEMU=/opt/qemu
    UUID=B8B5A1B0-9C3F-4B5E-8F3A-2F0F4C1D7E60

    [CPU]
    Count=4
    Model=EPYC-v1
    Sockets=2
    Cores=2
    Features=+avx2, -x2apic

    [Memory]
    MaximumSize=8G
    Slots=4
    Lock=yes
    Overcommit=yes

    [RAM main]
    Size=2G
    HugePages=1G

    [RAM more]
    Size = 512M

    [Firmware]
    Type=uefi
    SecureBoot=yes
    Image=/srv/code.fd
    Variables=/srv/vars.fd
    VariablesTemplate=/srv/template.fd

    [Kernel]
    Image=/boot/vmlinuz
    Initrd=/boot/initrd.img
    CommandLine=console=ttyS0 \\
    ; a comment between
        root=/dev/vda # not a comment

    [Disk root]
    Image=/srv/root.qcow2
    Format=qcow2
    Serial=ROOT-1

    [Disk data]
    Image=/dev/vg/data
    Format=raw
    ReadOnly=yes
    Discard=off
    X-Note=ignored
    Bus=virtio-scsi
    Device=disk
    Cache=directsync
    AIO=native

    [Network lan]
    Type=tap
    Interface=tap-web
    Bridge=br0
    MACAddress=52:54:00:AA:BB:01
    Queues=4
    VHost=no
    MTU=9000

    [Network nat]
    Type=user
    MACAddress=52:54:00:aa:bb:02
    Forward=tcp:2222:22 udp:0.0.0.0:53:5353

    [RNG]

    [Balloon]
    Enable=yes
    FreePageReporting=yes
    DeflateOnOOM=no

    [Watchdog]
    Action=inject-nmi

    [PVPanic]
    Enable=no

    [Agent]
    Enable=1

    [Display]
    Enable=on

    [QEMU]
    ExtraArguments=-device 'virtio-keyboard-pci,id=a b' -msg timestamp=on

    [CloudInit]
    InstanceID=web-2
    Hostname=web
    SSHKeys=/srv/keys.pub
    UserData=/srv/user-data
    NetworkConfig=/srv/network-config

    [Credential root]
    Name=passwd.hashed-password.root
    File=/srv/secret-root

    [Credential motd]
    File=/srv/motd

    [Console]
    Enable=true
    Retain=256K
    ForwardToJournal=yes

    [Handover]
    PrepareTimeoutSec=1min 30s
    SyncTimeoutSec=2.5
    SaveTimeoutSec=500ms
    LoadTimeoutSec=10
    StopTimeoutSec=3
    ContinueTimeoutSec=1.5

    [Stop]
    OnStop=poweroff
    TimeoutSec=1h
    LimitSec=1d

    [Crash]
    OnCrash=restart
    RestartLimitBurst=5
    RestartLimitIntervalSec=1d
    Dump=yes
    DumpDirectory=/srv/none-yet
    DumpRetain=100

    [X-Site]
    Anything goes here

    """

/// Loads the guest 'demo', whose main file is given.
func load(_ text: String, _ change: (inout MemoryFiles) -> Void = { _ in }) throws(DefinitionError) -> GuestDefinition {
    try loadWithWarnings(text, change).0
}

func loadWithWarnings(
    _ text: String,
    _ change: (inout MemoryFiles) -> Void = { _ in }
) throws(DefinitionError) -> (GuestDefinition, warnings: [Diagnostic]) {
    var files = MemoryFiles(["/etc/perdure/demo.guest": text])
    change(&files)
    return try DefinitionLoader(files: files).load("demo")
}

/// The diagnostics of the guest 'demo', each on one line, without the directory they are all in.
func diagnostics(_ text: String, _ change: (inout MemoryFiles) -> Void = { _ in }) -> [String] {
    let found: [Diagnostic]
    do {
        found = try loadWithWarnings(text, change).warnings
    } catch {
        found = error.diagnostics
    }
    return found.map { $0.description.replacing("/etc/perdure/", with: "") }
}
