import FoundationEssentials
import Glibc
import GuestDefinition
import Linux
import QMP

/// A machine in a QEMU that Perdure did not start.
public struct ForeignMachine: Codable, Equatable, Sendable {
    public let pid: Int32
    /// Clock ticks after boot.
    let startTime: UInt64
    /// As the guest has it: machine type and CPU model by their versioned names, addresses as they are.
    public let hardware: GuestHardware
    /// Path of the program that it executes.
    public let qemu: String
    public let version: QEMUVersion
    let package: String
    let hasFileMigration: Bool
    /// What migration is told to do, by capability.
    let capabilities: [String: Bool]

    /// Why it can't be taken over: everything that is known to speak against it.
    public struct Obstacles: Error, CustomStringConvertible, Sendable {
        public let sentences: [String]
        public var description: String { sentences.joined(separator: "\n") }
    }
}

extension ForeignMachine {
    /// Looks at the QEMU behind a monitor and finds out what its guest has. Changes nothing.
    ///
    /// - Returns: the machine, the file that is its RAM, and the process's /proc/PID/maps, which a supervisor may not open.
    public static func inspect(
        _ qmp: QMPClient,
        process handle: ProcessHandle,
        deadline: Duration
    ) async throws -> (ForeignMachine, ram: Descriptor, maps: Descriptor) {
        var inspection = ForeignInspection(qmp: qmp, handle: handle, deadline: deadline)
        let (machine, ram) = try await inspection.run()
        return (machine, ram, try Mappings.file(of: handle))
    }
}

/// One look at one QEMU. Obstacles are gathered, so that a person learns of all of them at once.
private struct ForeignInspection {
    let qmp: QMPClient
    let handle: ProcessHandle
    let deadline: Duration
    var obstacles: [String] = []
    /// Of all files that the process has open.
    var openFiles: Set<ForeignMemory.FileKey> = []

    /// From here on QEMU leaves shared memory in place only where it is a `memory-backend-file`.
    private static let namedFilesOnly = QEMUVersion(major: 8, minor: 1)

    mutating func run() async throws -> (ForeignMachine, ram: Descriptor) {
        let commandLine = ForeignCommandLine(try arguments())
        obstacles = commandLine.obstacles
        findOpenFiles()
        let reply = try await ask(QueryVersion())
        let version = QEMUVersion(major: reply.qemu.major, minor: reply.qemu.minor, micro: reply.qemu.micro)
        let capabilities = try await lookAtState()
        let ram = try await findRAM(commandLine, version)
        let (machine, model) = (try await machineType(), commandLine.cpu)
        let cpus = try await lookAtCPUs()
        try await compareDevices(commandLine)
        let disks = try await findDisks()
        let networks = try await findNetworks(commandLine)
        var hardware = GuestHardware(
            machine: machine,
            accelerator: try await ask(QueryKVM()).enabled ? .kvm : .tcg,
            cpuCount: cpus.count,
            cpuModel: model,
            uuid: commandLine.uuid,
            ram: [ram?.block ?? RAMBlock(id: "main", size: 0)],
            kernel: commandLine.kernel.map(resolved),
            disks: disks,
            networks: networks,
            console: commandLine.serialPorts > 0
        )
        if commandLine.hasTopology { hardware.topology = topology(cpus) }
        hardware.cpuFeatures = commandLine.cpuFeatures.isEmpty ? nil : commandLine.cpuFeatures
        guard obstacles.isEmpty, let ram else { throw ForeignMachine.Obstacles(sentences: obstacles) }
        let found = ForeignMachine(
            pid: handle.pid,
            startTime: handle.startTime,
            hardware: hardware,
            qemu: program(),
            version: version,
            package: reply.package.description,
            hasFileMigration: try await ask(QuerySchema()).hasFileMigration,
            capabilities: capabilities
        )
        return (found, ram.file)
    }

    private func ask<Command: QMPCommand>(_ command: Command) async throws -> Command.Reply {
        try await qmp.execute(command, deadline: deadline)
    }

    private func get<Value: Decodable & Sendable>(
        _ property: String,
        of path: String,
        as type: Value.Type = Value.self
    ) async throws -> Value {
        try await qmp.execute(GetProperty<Value>(property, of: path), deadline: deadline)
    }

    // MARK: The process

    private func arguments() throws -> [String] {
        let bytes = try Descriptor.open("/proc/\(handle.pid)/cmdline", O_RDONLY).read(at: 0, count: 128 << 10)
        // The last one ends, too.
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropFirst().dropLast().map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    private func program() -> String {
        let path = Directory.linkTarget("/proc/\(handle.pid)/exe") ?? ""
        return path.hasSuffix(" (deleted)") ? String(path.dropLast(" (deleted)".count)) : path
    }

    private mutating func findOpenFiles() {
        let directory = "/proc/\(handle.pid)/fd"
        for name in (try? Directory.names(in: directory)) ?? [] where Int32(name) != nil {
            if let identity = try? FileIdentity.of(path: "\(directory)/\(name)") {
                openFiles.insert(ForeignMemory.FileKey(identity))
            }
        }
    }

    /// An absolute path, from where the process is.
    private func resolved(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let found = realpath("/proc/\(handle.pid)/cwd/\(path)", nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    private func resolved(_ kernel: DirectKernel) -> DirectKernel {
        DirectKernel(
            image: resolved(kernel.image),
            initrd: kernel.initrd.map(resolved),
            commandLine: kernel.commandLine
        )
    }

    // MARK: What it is doing

    private mutating func lookAtState() async throws -> [String: Bool] {
        let status = try await ask(QueryStatus()).status
        if status != .running {
            obstacles.append("the guest is in QEMU's state '\(status)', and only a running one is taken over")
        }
        let migration = try await ask(QueryMigration())
        if let state = migration.status, !state.isFinal {
            obstacles.append("a migration is under way, in QEMU's state '\(ForeignText.printable(state.rawValue))'")
        }
        obstacles += (migration.blockers ?? []).prefix(8).map { "QEMU can't save this guest: \($0)" }
        obstacles += try await ask(QueryJobs()).prefix(8).map { "QEMU works on the job '\($0.id)'" }
        // State is saved into a descriptor set of our own.
        if try await !ask(QueryDescriptorSets()).isEmpty { obstacles.append("it was given descriptors by 'add-fd'") }
        let known = Set([MigrationCapability.ignoreShared, .events].map(\.capability))
        var capabilities: [String: Bool] = [:]
        for capability in try await ask(QueryMigrationCapabilities()) {
            if known.contains(capability.capability) {
                capabilities[capability.capability] = capability.state
            } else if capability.state {
                let name = ForeignText.printable(capability.capability)
                obstacles.append("migration's capability '\(name)' is on; somebody else means to migrate it")
            }
        }
        return capabilities
    }

    // MARK: RAM

    private mutating func findRAM(
        _ commandLine: ForeignCommandLine,
        _ version: QEMUVersion
    ) async throws -> (file: Descriptor, block: RAMBlock)? {
        let backends = try await ask(QueryMemoryBackends())
        guard let id = commandLine.memoryBackend else { return nil }
        guard backends.count == 1, let backend = backends.first, backend.id?.description == id else {
            obstacles.append("it has \(backends.count) memory backends; only one, '\(id)', can be taken over")
            return nil
        }
        guard QEMUCommandLine.isIdentifier(id) else {
            obstacles.append("'\(ForeignText.printable(id))' can't be the name of RAM")
            return nil
        }
        guard backend.share == true else {
            obstacles.append("its RAM '\(id)' is private to it; '-object memory-backend-file,…' needs 'share=on'")
            return nil
        }
        let type = commandLine.backendTypes[id] ?? ""
        guard let kind = ForeignMemory.Kind(rawValue: type) else {
            obstacles.append(
                "its RAM '\(id)' is a '\(type)', and only a 'memory-backend-memfd' or 'memory-backend-file' is taken over"
            )
            return nil
        }
        if kind == .memoryFile, version >= ForeignInspection.namedFilesOnly {
            obstacles.append(
                "QEMU \(version) would copy all of the RAM '\(id)' when it saves the guest: since 8.1 it leaves none in place "
                    + "that is a 'memory-backend-memfd'"
            )
            return nil
        }
        do {
            let memory = try ForeignMemory.find(kind, name: id, size: backend.size, of: handle)
            return (memory.file, memory.block(name: id))
        } catch let obstacle as ForeignMemory.Obstacle {
            obstacles.append("its RAM '\(id)' \(obstacle)")
            return nil
        }
    }

    // MARK: Processor

    private mutating func machineType() async throws -> String {
        let type: String = try await get("type", of: "/machine")
        let name = type.hasSuffix("-machine") ? String(type.dropLast("-machine".count)) : type
        if !["pc-q35-", "pc-i440fx-"].contains(where: name.hasPrefix) {
            obstacles.append("its machine type is '\(ForeignText.printable(name))', and only a PC can be taken over")
        }
        return name
    }

    private mutating func lookAtCPUs() async throws -> [QueryCPUs.CPU] {
        let cpus = try await ask(QueryCPUs())
        guard let first = cpus.first else { return [] }
        let filtered: [CPUFeatureWord] = try await get("filtered-features", of: first.path)
        if filtered.contains(where: { $0.features != 0 }) {
            obstacles.append(
                "its CPU lacks features that its model has, which the host did not have when it was started"
            )
        }
        return cpus
    }

    private func topology(_ cpus: [QueryCPUs.CPU]) -> CPUTopology {
        func count(_ level: String) -> Int { (cpus.compactMap { $0.place[level] }.max() ?? 0) + 1 }
        return CPUTopology(sockets: count("socket-id"), cores: count("core-id"), threads: count("thread-id"))
    }

    // MARK: Devices

    private struct Device {
        var type: String
        /// In QEMU's tree of objects.
        var path: String
        /// Nil where it has none.
        var id: String?
    }

    private func devices() async throws -> [Device] {
        var found: [Device] = []
        for (directory, hasIDs) in [("/machine/peripheral", true), ("/machine/peripheral-anon", false)] {
            for child in try await ask(ListProperties(path: directory)) {
                guard child.type.hasPrefix("child<"), child.type.hasSuffix(">") else { continue }
                let type = String(child.type.dropFirst("child<".count).dropLast())
                found.append(Device(type: type, path: "\(directory)/\(child.name)", id: hasIDs ? child.name : nil))
            }
        }
        return found
    }

    /// What was plugged or unplugged since is on no command line.
    private mutating func compareDevices(_ commandLine: ForeignCommandLine) async throws {
        var unexplained = commandLine.devices
        for device in try await devices() {
            if let index = unexplained.firstIndex(of: device.type) {
                unexplained.remove(at: index)
            } else {
                obstacles.append("it has a '\(ForeignText.printable(device.type))' that a definition can't have")
            }
        }
        obstacles += unexplained.map { "the '\($0)' that its command line names is not there any more" }
    }

    private mutating func slot(of device: Device) async throws -> Int? {
        // Function and slot in one number.
        let address: Int = try await get("addr", of: device.path)
        let slot = address >> 3
        guard address & 7 == 0, QEMUCommandLine.slots.contains(slot) else {
            obstacles.append("its '\(device.type)' has no slot of the PCI bus of its own")
            return nil
        }
        return slot
    }

    private func identifier(_ id: String?, _ fallback: String, _ known: [String]) -> String {
        guard let id, GuestHardware.isSectionID(id), !known.contains(id) else { return fallback }
        return id
    }

    private mutating func findDisks() async throws -> [Disk] {
        let drives = try await ask(QueryBlock())
        var disks: [Disk] = []
        for device in try await devices() where device.type == "virtio-blk-pci" {
            let title = "its disk '\(device.id ?? device.path)'"
            guard let medium = drives.first(where: { $0.device?.hasPrefix("\(device.path)/") == true })?.medium else {
                obstacles.append("\(title) has no image")
                continue
            }
            guard let format = DiskFormat(rawValue: medium.driver) else {
                obstacles.append("\(title) goes through QEMU's driver '\(ForeignText.printable(medium.driver))'")
                continue
            }
            let modes = medium.cache
            guard
                let cache = DiskCache(writeback: modes.writeback, direct: modes.direct, noFlush: modes.noFlush)
            else {
                obstacles.append("\(title) has a combination of cache modes that has no name")
                continue
            }
            let path = medium.image.filename.hasPrefix("json:") ? "" : resolved(medium.image.filename)
            guard let identity = try? FileIdentity.of(path: path), openFiles.contains(ForeignMemory.FileKey(identity))
            else {
                obstacles.append(
                    "\(title) has the image '\(ForeignText.printable(medium.image.filename))', which is not the file of that name here"
                )
                continue
            }
            let serial: String = try await get("serial", of: device.path)
            var disk = Disk(
                id: identifier(device.id, "disk\(disks.count)", disks.map(\.id)),
                image: path,
                isBlockDevice: ForeignInspection.isBlockDevice(path),
                format: format,
                readOnly: medium.isReadOnly,
                cache: cache,
                serial: serial.isEmpty ? nil : serial
            )
            disk.slot = try await slot(of: device)
            disks.append(disk)
        }
        return disks.sorted { ($0.slot ?? 0) < ($1.slot ?? 0) }
    }

    private static func isBlockDevice(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFBLK
    }

    private mutating func findNetworks(_ commandLine: ForeignCommandLine) async throws -> [Network] {
        var networks: [Network] = []
        for device in try await devices() where device.type == "virtio-net-pci" {
            let backend: String = try await get("netdev", of: device.path)
            // That of another type has been named already.
            guard let network = commandLine.networks[backend] else { continue }
            let mac: String = try await get("mac", of: device.path)
            let rom: String = try await get("romfile", of: device.path)
            var found = Network(
                id: identifier(backend, "net\(networks.count)", networks.map(\.id)),
                type: .user,
                mac: mac.lowercased(),
                vhost: .no,
                forwards: network.forwards
            )
            found.slot = try await slot(of: device)
            found.optionROM = rom.isEmpty ? nil : true
            networks.append(found)
        }
        return networks.sorted { ($0.slot ?? 0) < ($1.slot ?? 0) }
    }
}

extension [QuerySchema.Entity] {
    /// Whether `migrate` and `migrate-incoming` take files. The schema's type names are numbers: the enumeration is found
    /// by its members.
    var hasFileMigration: Bool {
        let wanted: Set = ["socket", "exec", "rdma", "file"]
        return contains { entity in
            guard entity.metaType == "enum" else { return false }
            return Set((entity.members ?? []).compactMap(\.name)).isSuperset(of: wanted)
        }
    }
}
