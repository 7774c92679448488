import Linux

extension GuestHardware {
    /// The same for the guest, with what only the host notices as `wanted` has it.
    public func applyingHostSettings(of wanted: GuestHardware) -> GuestHardware {
        var result = self
        for (index, disk) in disks.enumerated() {
            guard let counterpart = wanted.disks.first(where: { $0.id == disk.id }) else { continue }
            result.disks[index].discard = counterpart.discard
            // With the one the guest has to flush, with the other not.
            if counterpart.cache.hasWriteCache == disk.cache.hasWriteCache {
                result.disks[index].cache = counterpart.cache
                result.disks[index].aio = counterpart.aio
            }
        }
        result.isLocked = wanted.isLocked
        if single.watchdog != nil, let action = wanted.single.watchdog { result.single.watchdog = action }
        for (index, network) in networks.enumerated() {
            guard let counterpart = wanted.networks.first(where: { $0.id == network.id && $0.kind == network.kind })
            else { continue }
            result.networks[index].vhost = counterpart.vhost
            result.networks[index].forwards = counterpart.forwards
            result.networks[index].bridge = counterpart.bridge
            result.networks[index].uplink = counterpart.uplink
        }
        return result
    }

    /// Names each difference to the hardware of a running guest, in a sentence; none if they are equal.
    ///
    /// Machine type and CPU model are compared as they are, so both sides must be pinned or neither.
    public func changes(from running: GuestHardware) -> [String] {
        var changes = Changes()
        changes.compare("[Guest] Machine=", machine, running.machine)
        changes.compare("[Guest] Accelerator=", accelerator.rawValue, running.accelerator.rawValue)
        changes.compare("[Guest] UUID=", uuid, running.uuid)
        changes.compare("[CPU] Count=", "\(cpuCount)", "\(running.cpuCount)")
        changes.compare("[CPU] Model=", cpuModel, running.cpuModel)
        changes.compare("[CPU] Sockets=", topology.map { "\($0.sockets)" }, running.topology.map { "\($0.sockets)" })
        changes.compare("[CPU] Cores=", topology.map { "\($0.cores)" }, running.topology.map { "\($0.cores)" })
        changes.compare("[CPU] Threads=", topology.map { "\($0.threads)" }, running.topology.map { "\($0.threads)" })
        changes.compare(
            "[CPU] Features=",
            cpuFeatures?.joined(separator: ","),
            running.cpuFeatures?.joined(separator: ",")
        )
        changes.compare(
            "[Memory] MaximumSize=",
            room.map { sizeText($0.maximumSize) },
            running.room.map { sizeText($0.maximumSize) }
        )
        changes.compare("[Memory] Slots=", room.map { "\($0.slots)" }, running.room.map { "\($0.slots)" })
        changes.compare("[Memory] Lock=", word(isLocked), word(running.isLocked))
        changes.compareSections("RAM", ram, running.ram, id: \.id) { changes, title, new, old in
            changes.compare("\(title) Size=", sizeText(new.size), sizeText(old.size))
            changes.compare("\(title) HugePages=", new.hugePages?.rawValue, old.hugePages?.rawValue)
        }
        changes.compare(firmware, running.firmware)
        changes.compare("[Kernel] Image=", kernel?.image, running.kernel?.image)
        changes.compare("[Kernel] Initrd=", kernel?.initrd, running.kernel?.initrd)
        changes.compare("[Kernel] CommandLine=", kernel?.commandLine, running.kernel?.commandLine)
        changes.compareSections("Disk", disks, running.disks, id: \.id) { changes, title, new, old in
            changes.compare("\(title) Image=", new.image, old.image)
            changes.compare("\(title) Format=", new.format.rawValue, old.format.rawValue)
            changes.compare("\(title) Bus=", new.bus.rawValue, old.bus.rawValue)
            changes.compare("\(title) Device=", new.device.rawValue, old.device.rawValue)
            changes.compare("\(title) ReadOnly=", word(new.readOnly), word(old.readOnly))
            changes.compare("\(title) Discard=", word(new.discard), word(old.discard))
            changes.compare("\(title) Cache=", new.cache.rawValue, old.cache.rawValue)
            changes.compare("\(title) AIO=", new.aio.rawValue, old.aio.rawValue)
            changes.compare("\(title) Serial=", new.serial, old.serial)
        }
        changes.compareSections("Network", networks, running.networks, id: \.id) { changes, title, new, old in
            changes.compare("\(title) Type=", new.kind.rawValue, old.kind.rawValue)
            changes.compare("\(title) Interface=", new.interface, old.interface)
            changes.compare("\(title) Bridge=", new.bridge, old.bridge)
            changes.compare("\(title) Parent=", new.uplink?.parent, old.uplink?.parent)
            changes.compare("\(title) Mode=", new.uplink?.mode.rawValue, old.uplink?.mode.rawValue)
            changes.compare("\(title) MACAddress=", new.mac, old.mac)
            changes.compare("\(title) Queues=", "\(new.queues)", "\(old.queues)")
            changes.compare("\(title) VHost=", new.vhost.rawValue, old.vhost.rawValue)
            changes.compare("\(title) MTU=", new.mtu.map(String.init), old.mtu.map(String.init))
            let (forwards, oldForwards) = (new.forwards.map(\.description), old.forwards.map(\.description))
            changes.compare("\(title) Forward=", forwards.joined(separator: " "), oldForwards.joined(separator: " "))
        }
        changes.compare(cloudInit, running.cloudInit)
        changes.compareSections("Credential", credentials ?? [], running.credentials ?? [], id: \.id) {
            changes,
            title,
            new,
            old in
            changes.compare("\(title) Name=", new.name, old.name)
            changes.compare("\(title) File=", new.file, old.file)
        }
        changes.compare("[Console] Enable=", word(console), word(running.console))
        compareDevices(&changes, single, running.single)
        return changes.sentences
    }

    private func compareDevices(_ changes: inout Changes, _ new: GuestDevices, _ old: GuestDevices) {
        changes.compare("[RNG] Enable=", word(new.rng), word(old.rng))
        changes.compare("[Balloon] Enable=", word(new.balloon != nil), word(old.balloon != nil))
        if let new = new.balloon, let old = old.balloon {
            changes.compare(
                "[Balloon] FreePageReporting=",
                word(new.freePageReporting),
                word(old.freePageReporting)
            )
            changes.compare("[Balloon] DeflateOnOOM=", word(new.deflateOnOOM), word(old.deflateOnOOM))
        }
        changes.compare("[Watchdog] Enable=", word(new.watchdog != nil), word(old.watchdog != nil))
        if let new = new.watchdog, let old = old.watchdog {
            changes.compare("[Watchdog] Action=", new.rawValue, old.rawValue)
        }
        changes.compare("[PVPanic] Enable=", word(new.pvpanic), word(old.pvpanic))
        changes.compare("[Agent] Enable=", word(new.agent), word(old.agent))
        changes.compare("[TPM] Enable=", word(new.tpm != nil), word(old.tpm != nil))
        if let new = new.tpm, let old = old.tpm { changes.compare("[TPM] Model=", new.rawValue, old.rawValue) }
        changes.compare("[Display] Enable=", word(new.display), word(old.display))
        changes.compare(
            "[QEMU] ExtraArguments=",
            new.extraArguments.joined(separator: " "),
            old.extraArguments.joined(separator: " ")
        )
    }

    private func word(_ value: Bool) -> String { value ? "yes" : "no" }
}

/// What a definition says otherwise than the guest runs with, in sentences.
public struct DefinitionChanges: Sendable, Equatable {
    /// Only the host notices: a handover brings it about.
    public var applied: [String] = []
    /// The guest would notice: it waits for the next start.
    public var waiting: [String] = []

    public init() {}

    /// - Parameters:
    ///   - known: The definition that the supervisor goes by so far.
    ///   - running: What the guest was started with; machine type and CPU model are pinned and stay.
    public init(to definition: GuestDefinition, from known: GuestDefinition?, running: GuestHardware) {
        var wanted = definition.hardware
        (wanted.machine, wanted.cpuModel) = (running.machine, running.cpuModel)
        let next = running.applyingHostSettings(of: wanted)
        waiting = wanted.changes(from: next)
        applied = next.changes(from: running)
        guard let known else { return }
        var changes = Changes(owner: "supervisor")
        changes.compare("[Handover] PrepareTimeoutSec=", definition.handover.prepare, known.handover.prepare)
        changes.compare("[Handover] SyncTimeoutSec=", definition.handover.sync, known.handover.sync)
        changes.compare("[Handover] StopTimeoutSec=", definition.handover.stop, known.handover.stop)
        changes.compare("[Handover] SaveTimeoutSec=", definition.handover.save, known.handover.save)
        changes.compare("[Handover] LoadTimeoutSec=", definition.handover.load, known.handover.load)
        changes.compare("[Handover] ContinueTimeoutSec=", definition.handover.resume, known.handover.resume)
        changes.compare("[Stop] OnStop=", definition.stop.onStop.rawValue, known.stop.onStop.rawValue)
        changes.compare("[Stop] TimeoutSec=", definition.stop.timeout, known.stop.timeout)
        changes.compare("[Stop] LimitSec=", definition.stop.limit, known.stop.limit)
        changes.compare(definition.crash, known.crash)
        changes.compare("[Console] Retain=", sizeText(definition.consoleRetain), sizeText(known.consoleRetain))
        changes.compare(
            "[Console] ForwardToJournal=",
            definition.consoleForward ? "yes" : "no",
            known.consoleForward ? "yes" : "no"
        )
        applied += changes.sentences
    }
}

private struct Changes {
    var owner = "running guest"
    private(set) var sentences: [String] = []

    mutating func compare(_ key: String, _ new: Duration, _ old: Duration) { compare(key, "\(new)", "\(old)") }

    mutating func compare(_ key: String, _ new: String?, _ old: String?) {
        guard new != old else { return }
        let (new, old) = (new ?? "", old ?? "")
        sentences.append(
            "\(key) is \(new.isEmpty ? "not set" : new), the \(owner) has \(old.isEmpty ? "none" : old)"
        )
    }

    mutating func compare(_ new: CrashPolicy, _ old: CrashPolicy) {
        compare("[Crash] OnCrash=", new.onCrash.rawValue, old.onCrash.rawValue)
        compare("[Crash] RestartLimitBurst=", "\(new.restartBurst)", "\(old.restartBurst)")
        compare("[Crash] RestartLimitIntervalSec=", new.restartInterval, old.restartInterval)
        compare("[Crash] Dump=", new.dump ? "yes" : "no", old.dump ? "yes" : "no")
        compare("[Crash] DumpDirectory=", new.dumpDirectory, old.dumpDirectory)
        compare("[Crash] DumpRetain=", "\(new.dumpRetain)", "\(old.dumpRetain)")
    }

    /// A section that says no more than what holds without it makes no difference.
    mutating func compare(_ new: Firmware?, _ old: Firmware?) {
        let (new, old) = (new ?? Firmware(kind: .bios), old ?? Firmware(kind: .bios))
        compare("[Firmware] Type=", new.kind.rawValue, old.kind.rawValue)
        compare("[Firmware] SecureBoot=", new.secureBoot ? "yes" : "no", old.secureBoot ? "yes" : "no")
        compare("[Firmware] Image=", new.image, old.image)
        compare("[Firmware] Variables=", new.variables?.path, old.variables?.path)
    }

    mutating func compare(_ new: CloudInit?, _ old: CloudInit?) {
        guard let new, let old else {
            if new != nil { sentences.append("[CloudInit] is new, the \(owner) does not have it") }
            if old != nil { sentences.append("[CloudInit] is gone, the \(owner) has it") }
            return
        }
        compare("[CloudInit] InstanceID=", new.instanceID, old.instanceID)
        compare("[CloudInit] Hostname=", new.hostname, old.hostname)
        compare("[CloudInit] SSHKeys=", new.sshKeys, old.sshKeys)
        compare("[CloudInit] UserData=", new.userData, old.userData)
        compare("[CloudInit] NetworkConfig=", new.networkConfig, old.networkConfig)
    }

    mutating func compareSections<Element>(
        _ kind: String,
        _ new: [Element],
        _ old: [Element],
        id: (Element) -> String,
        _ compareKeys: (inout Changes, _ title: String, _ new: Element, _ old: Element) -> Void
    ) {
        for element in new {
            let title = "[\(kind) \(id(element))]"
            if let counterpart = old.first(where: { id($0) == id(element) }) {
                compareKeys(&self, title, element, counterpart)
            } else {
                sentences.append("\(title) is new, the running guest does not have it")
            }
        }
        let (newIDs, oldIDs) = (new.map(id), old.map(id))
        for id in oldIDs where !newIDs.contains(id) {
            sentences.append("[\(kind) \(id)] is gone, the running guest has it")
        }
        // The order is that of NUMA nodes and PCI slots. A section in front of others moves them, too.
        let (order, oldOrder) = (newIDs.filter(oldIDs.contains), oldIDs.filter(newIDs.contains))
        let moved = order.first { newIDs.firstIndex(of: $0) != oldIDs.firstIndex(of: $0) }
        guard order != oldOrder || moved != nil else { return }
        sentences.append(
            "the order of the [\(kind) ID] sections is \(newIDs.joined(separator: ", ")), "
                + "the running guest has \(oldIDs.joined(separator: ", "))"
        )
    }
}
