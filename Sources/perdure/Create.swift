import ArgumentParser
import FoundationEssentials
import Glibc
import GuestDefinition
import Linux
import Supervisor

struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Define a guest that boots from a cloud image.",
        discussion: """
            Writes /etc/perdure/NAME.guest, and makes a disk in /var/lib/perdure/NAME that is an overlay of the image, or \
            ~/.config/perdure/NAME.guest and a disk in ~/.local/state/perdure/NAME with '--user'. The image itself stays as it is, and must stay where it is. Where anything fails, nothing is left.
            """
    )

    @Argument(help: "The guest's name.")
    var name: String
    @Option(help: "A disk image with an installed system and cloud-init, in qcow2 or raw format.", completion: .file())
    var image: String
    @Option(help: "A file of public SSH keys that may log in, such as ~/.ssh/id_ed25519.pub.", completion: .file())
    var sshKey: String?
    @Option(help: "A file of user data for cloud-init.", completion: .file())
    var userData: String?
    @Option(help: "A file with a network configuration for cloud-init.", completion: .file())
    var networkConfig: String?
    @Option(help: "How much RAM it has, with K, M, G or T.")
    var memory = "2G"
    @Option(help: "How many CPUs it has.")
    var cpus = 1
    @Option(help: "'kvm' or 'tcg'; by default kvm where this host has it.")
    var accelerator: String?
    @Option(help: "How large its disk is, with M, G or T; by default as large as the image's.")
    var disk: String?
    @Option(help: "The bridge that its network card is attached to; by default it has QEMU's own NAT.")
    var bridge: String?
    @Option(help: "A port of this host that leads to the guest through the NAT, such as tcp:2222:22. Can be repeated.")
    var forward: [String] = []
    @Flag(help: "Boot with UEFI instead of a BIOS.")
    var uefi = false
    @OptionGroup var manager: ManagerOption
    @OptionGroup var output: OutputOption

    func validate() throws {
        if bridge != nil, !forward.isEmpty {
            throw ValidationError("'--forward' is for QEMU's own NAT, and does not go with '--bridge'.")
        }
        if manager.user, bridge != nil {
            throw ValidationError("'--bridge' does not go with '--user': a user's guests have QEMU's own NAT only.")
        }
    }

    func run() async throws {
        if let problem = GuestName.problem(with: name) { throw Exit.usage(problem) }
        let image = try existing(image)
        let plan = try plan()
        var files = MadeFiles()
        let progress = ProgressLine.ifSeen(json: output.json)
        let warnings: [String]
        do {
            defer { progress?.finish(name) }
            progress?.update(name, "Making its disk from '\(image)'")
            warnings = try await make(plan, of: image, &files)
        } catch {
            files.remove()
            if let failure = error as? CommandFailure { throw failure }
            throw Exit.failure("the guest '\(name)' is not made: \(error)")
        }
        let made = Made(guest: name, definition: definitionPath, disk: plan.disk, warnings: warnings)
        try output.show(made, made.text)
    }

    private struct Made: Encodable {
        let guest: String
        let definition: String
        let disk: String
        let warnings: [String]

        var text: String {
            let when = Locations.current.isUser ? "each time your user manager starts" : "at each boot of this host"
            let lines = [
                "Defined the guest '\(guest)' in '\(definition)', with the disk '\(disk)'.",
                "Start it, now and \(when), with: \(Locations.current.systemctl) enable --now perdure@\(guest)",
            ]
            return (warnings + lines).joined(separator: "\n")
        }
    }

    private var definitionPath: String { "\(Locations.current.definitions[0])/\(name).guest" }
    private var directory: String { "\(Locations.current.state)/\(name)" }

    private func plan() throws -> NewGuest {
        NewGuest(
            name: name,
            accelerator: try chosenAccelerator(),
            cpuCount: cpus,
            memory: memory,
            isUEFI: uefi,
            disk: "\(directory)/disk.qcow2",
            sshKeys: sshKey == nil ? nil : "\(directory)/authorized_keys",
            userData: try userData.map(existing),
            networkConfig: try networkConfig.map(existing),
            network: bridge.map { .bridge($0) } ?? .user(forwards: forward)
        )
    }

    private func chosenAccelerator() throws -> Accelerator {
        guard let accelerator else { return access("/dev/kvm", R_OK | W_OK) == 0 ? .kvm : .tcg }
        if let known = Accelerator(rawValue: accelerator) { return known }
        throw Exit.usage("--accelerator: '\(accelerator)' is neither 'kvm' nor 'tcg'")
    }

    private func make(_ plan: NewGuest, of image: String, _ made: inout MadeFiles) async throws -> [String] {
        let keys = try sshKey.map { try GuestSeed.publicKeys(at: try existing($0)) }
        for directory in Locations.current.definitions where exists("\(directory)/\(name).guest") {
            throw Exit.refused("there is a guest '\(name)' already, in '\(directory)/\(name).guest'")
        }
        for file in [plan.disk, plan.sshKeys].compactMap({ $0 }) where exists(file) {
            throw Exit.refused("'\(file)' is there already; remove it, or choose another name")
        }
        let loop = EventLoop(label: "perdure-create")
        let source = try await CloudImage.examine(image, loop: loop)
        let size = try disk.map { try source.size(atLeast: $0) }
        try made.directory(directory)
        // Who of two that make the same guest is first has the disk; the other one removes nothing.
        try made.write("", to: plan.disk)
        try await source.makeOverlay(plan.disk, size: size, loop: loop)
        if let path = plan.sshKeys, let keys { try made.write(keys.joined(separator: "\n") + "\n", to: path) }
        try made.directory(Locations.current.definitions[0], mode: 0o755)
        try made.write(plan.text, to: definitionPath, mode: 0o644)
        do {
            let (definition, warnings) = try DefinitionLoader().load(name)
            guard definition.hardware.cloudInit?.userData == plan.userData,
                definition.hardware.cloudInit?.networkConfig == plan.networkConfig
            else { throw Exit.usage("the path of a file can't be written into a definition; choose a plainer one") }
            return warnings.map { "\($0)" }
        } catch let error as DefinitionError {
            throw Exit.definition("the guest '\(name)' is not made, since its definition would be wrong:\n\(error)")
        }
    }

    /// The absolute path of a file that is there.
    private func existing(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else {
            throw Exit.usage("'\(path)' can't be used: \(String(cString: strerror(errno)))")
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }
}

/// What has been made so far, to be removed where a later step fails.
private struct MadeFiles {
    private var paths: [(path: String, isDirectory: Bool)] = []

    /// Makes a directory where it is missing.
    mutating func directory(_ path: String, mode: mode_t = 0o700) throws {
        if mkdir(path, mode) == 0 {
            paths.append((path, true))
        } else if errno == ENOENT {
            try directory(path.split(separator: "/").dropLast().map { "/\($0)" }.joined(), mode: 0o755)
            try directory(path, mode: mode)
        } else if errno != EEXIST {
            throw SystemCallError("mkdir", on: path)
        }
    }

    /// Writes a file that must not be there yet, and returns when it is on stable storage.
    mutating func write(_ text: String, to path: String, mode: mode_t = 0o600) throws {
        let file = try Descriptor.create(path, mode: mode)
        paths.append((path, false))
        try file.write(Array(text.utf8), at: 0)
        try file.sync()
    }

    /// The last first. What another has put into a directory meanwhile keeps it.
    func remove() {
        for (path, isDirectory) in paths.reversed() { _ = isDirectory ? rmdir(path) : unlink(path) }
    }
}
