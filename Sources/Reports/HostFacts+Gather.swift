import Glibc
import GuestDefinition
import Linux
import Supervisor
import Systemd
import Varlink

extension HostFacts {
    private static let deadline = Duration.seconds(10)
    private static let guestDeadline = Duration.seconds(2)

    /// Looks at this host. What can't be found out is as if there were nothing to say about it. Blocks, but for QEMU.
    public static func gather(loop: EventLoop) async -> HostFacts {
        var facts = HostFacts()
        facts.systemdVersion = (try? Manager.version(deadline: deadline)).flatMap { systemdVersion(in: $0) }
        facts.kvm =
            access("/dev/kvm", F_OK) != 0 ? .missing : access("/dev/kvm", R_OK | W_OK) == 0 ? .usable : .forbidden
        facts.sharedHugePages = text(of: "/sys/kernel/mm/transparent_hugepage/shmem_enabled").flatMap { choice(in: $0) }
        facts.availableMemory = (try? MemoryInformation.available()) ?? .max
        facts.isUser = Locations.current.isUser
        facts.lingers = lingers()
        // It leaves users' units alone.
        facts.needrestart = facts.isUser ? .absent : needrestart()
        facts.hasAutomaticReboots =
            access("/usr/bin/unattended-upgrade", X_OK) == 0 && hasAutomaticReboots(in: output(of: "apt-config dump"))
        facts.hasPersistentJournal = access("/var/log/journal", F_OK) == 0
        facts.guests = guests()
        await facts.addDefinitions(loop)
        return facts
    }

    private static func guests() -> [Guest] {
        let prefix = "perdure@"
        let suffix = ".service"
        let units = (try? Manager.units(matching: "\(prefix)*\(suffix)", deadline: deadline)) ?? []
        return units.compactMap { unit in
            let name = String(unit.name.dropFirst(prefix.count).dropLast(suffix.count))
            guard GuestName.problem(with: name) == nil else { return nil }
            var guest = Guest(name: name)
            guest.activeState = unit.activeState
            guest.loadState = unit.loadState
            if let state = try? Manager.fileState(of: unit.name, deadline: deadline) { guest.unitFileState = state }
            if let store = try? Manager.descriptorStore(of: unit.name, deadline: deadline) {
                guest.storedDescriptors = store.count
                guest.storeLimit = store.limit
            }
            let client = try? VarlinkClient(
                path: "\(Locations.current.runtime)/\(name)/control",
                deadline: guestDeadline
            )
            let reply = try? client?.call(
                GuestInterface.Method.getMetrics.qualified,
                GuestInterface.NoParameters(),
                as: GuestInterface.MetricsReply.self
            )
            guest.processBytes = reply?.0.metrics.processBytes
            guest.isOutdated = reply?.0.metrics.outdated ?? false
            guest.hasOldFirmware = reply?.0.metrics.firmwareOutdated ?? false
            return guest
        }
    }

    private mutating func addDefinitions(_ loop: EventLoop) async {
        var users = [GuestDefinition.defaultQEMU: [String]()]
        for name in (try? DefinedGuests.names()) ?? [] {
            do {
                let (definition, _) = try DefinitionLoader().load(name)
                users[definition.qemu, default: []].append(name)
                if definition.hardware.accelerator == .kvm { guestsWithKVM.append(name) }
            } catch {
                brokenGuests.append(name)
            }
        }
        for (path, guests) in users.sorted(by: { $0.key < $1.key }) {
            do {
                let found = try await QEMUProbe.run(path: path, loop: loop, deadline: HostFacts.deadline)
                qemus.append(QEMU(path: path, guests: guests, version: "\(found.version)", problem: nil))
            } catch {
                qemus.append(QEMU(path: path, guests: guests, version: nil, problem: "\(error)"))
            }
        }
    }

    private static func lingers() -> Bool {
        guard let user = getpwuid(geteuid()) else { return false }
        return access("/var/lib/systemd/linger/\(String(cString: user.pointee.pw_name))", F_OK) == 0
    }

    private static func needrestart() -> Needrestart {
        guard access("/usr/sbin/needrestart", X_OK) == 0 else { return .absent }
        let directory = "/etc/needrestart/conf.d"
        let files = ((try? Directory.names(in: directory)) ?? []).filter { $0.hasSuffix(".conf") }.sorted()
        let texts = ["/etc/needrestart/needrestart.conf"] + files.map { "\(directory)/\($0)" }
        return needrestart(in: texts.compactMap { text(of: $0) }.joined(separator: "\n"))
    }

    private static func text(of path: String) -> String? {
        guard let file = try? Descriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY),
            let bytes = try? file.read(at: 0, count: 256 << 10)
        else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What a command prints, cut where it is long.
    private static func output(of command: String) -> String {
        guard let stream = popen("\(command) 2>/dev/null", "re") else { return "" }
        defer { pclose(stream) }
        let limit = 256 << 10
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            count = fread(buffer.baseAddress, 1, limit, stream)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: What the texts mean

    static func systemdVersion(in text: String) -> Int? { Int(text.drop { !$0.isNumber }.prefix { $0.isNumber }) }

    /// The word in brackets, as in `always within_size [advise] never`.
    static func choice(in text: String) -> String? {
        guard let begin = text.firstIndex(of: "["), let end = text[begin...].firstIndex(of: "]") else { return nil }
        return String(text[text.index(after: begin)..<end])
    }

    /// - Parameter configuration: all of needrestart's files, in their order.
    static func needrestart(in configuration: String) -> Needrestart {
        let lines = configuration.split(separator: "\n").filter { !$0.drop { $0 == " " || $0 == "\t" }.hasPrefix("#") }
        guard let last = lines.last(where: { $0.contains("perdure@") }) else { return .unconfigured }
        let value = last.split(separator: "=").last?.filter { $0.isNumber }
        return value == "0" ? .leavesGuestsAlone : .restartsGuests
    }

    static func hasAutomaticReboots(in dump: String) -> Bool {
        let settings = dump.split(separator: "\n").compactMap { line -> String? in
            guard line.hasPrefix("Unattended-Upgrade::Automatic-Reboot ") else { return nil }
            return line.split(separator: "\"").dropFirst().first?.lowercased()
        }
        return settings.last.map { ["true", "yes", "1", "on", "enable", "with"].contains($0) } ?? false
    }
}
