import GuestDefinition
import Linux
import QMP

extension Preflight {
    /// Blockers first.
    var findings: [Finding] {
        let all =
            ramFindings + runningFindings + programFindings + cpuFindings + memoryFindings + networkFindings
            + tpmFindings + changeFindings + fileFindings + hugePageFindings + firmwareFindings + outdatedFindings
        return Finding.Severity.allCases.flatMap { severity in all.filter { $0.severity == severity } }
    }

    private var tpmFindings: [Finding] {
        switch tpmProblem {
        case nil: []
        case .missing:
            [
                Finding(
                    .blocker,
                    .tpmMissing,
                    "'\(TPMEmulator.program)' can't be used, and the guest has a TPM",
                    "install the package swtpm"
                )
            ]
        case .gone:
            [
                Finding(
                    .blocker,
                    .tpmGone,
                    "the process of the guest's TPM has ended, and what it knew since the guest's start with it",
                    "stop the guest and start it anew; what the TPM keeps for good is still there"
                )
            ]
        }
    }

    // MARK: RAM

    private var ramFindings: [Finding] {
        let restart = "save what the guest holds, stop it and start it anew"
        var found: [Finding] = []
        for block in ram {
            let name = Inventory.ram(block.id)
            if !block.isStored {
                found.append(
                    Finding(.blocker, .ramMissing, "'\(name)' is not in the file descriptor store", restart)
                )
            }
            for (title, mapped) in [(running?.title ?? "", block.mapped), ("the next VM process", block.mappedByNext)] {
                guard let mapped, mapped != block.size else { continue }
                found.append(
                    Finding(
                        .blocker,
                        .ramNotShared,
                        "\(title) maps \(mapped >> 20) MiB of '\(name)', not its \(block.size >> 20) MiB",
                        restart
                    )
                )
            }
        }
        guard let running else { return found }
        let known = Dictionary(uniqueKeysWithValues: ram.map { ($0.backend ?? Inventory.ram($0.id), $0.size) })
        for backend in running.backends {
            if known[backend.id] == nil {
                found.append(
                    Finding(
                        .blocker,
                        .ramUnknown,
                        "\(running.title) has memory '\(backend.id)' of \(backend.size >> 20) MiB that is not the guest's",
                        restart
                    )
                )
            } else if !backend.isShared || backend.size != known[backend.id] {
                let kind = backend.isShared ? "shared" : "private"
                found.append(
                    Finding(
                        .blocker,
                        .ramNotShared,
                        "\(running.title) has '\(backend.id)' as \(backend.size >> 20) MiB of \(kind) memory",
                        restart
                    )
                )
            }
        }
        return found
    }

    // MARK: The VM process that runs the guest

    private var runningFindings: [Finding] {
        guard let running else { return [] }
        var found: [Finding] = []
        let isStill = running.isPaused && [.paused, .prelaunch].contains(running.state)
        if running.state != .running && !isStill {
            found.append(
                Finding(
                    .blocker,
                    .guestNotRunning,
                    "the guest is in QEMU's state '\(running.state)', and only a running or paused one is handed over",
                    // QEMU does not save a second time what has not run since the first.
                    running.isPaused
                        ? "continue the guest with 'perdure resume \(guest)', and pause it again where it is to stay paused"
                        : "look into the journal for what made it so"
                )
            )
        }
        found += running.blockers.map { reason in
            Finding(
                .blocker,
                .migrationBlocked,
                "QEMU can't save this guest: \(reason)",
                "end what QEMU names, or wait for its end"
            )
        }
        return found
    }

    // MARK: The next QEMU

    private var programFindings: [Finding] {
        switch program {
        case .unusable(let reason):
            return [Finding(.blocker, .qemuUnusable, reason, "see QEMU= in the guest's definition")]
        case .usable(let facts):
            return machineFindings(facts) + capabilityFindings(facts) + deviceFindings(facts) + queueFindings(facts)
        }
    }

    private func machineFindings(_ facts: QEMUFacts) -> [Finding] {
        do {
            let machine = try facts.pinnedMachine(hardware.machine)
            guard facts.deprecatedMachines.contains(machine) else { return [] }
            return [
                Finding(
                    .warning,
                    .machineDeprecated,
                    "\(facts.title) means to drop the machine type '\(machine)'",
                    "stop the guest and start it anew before that, with a newer Machine="
                )
            ]
        } catch {
            return [
                Finding(
                    .blocker,
                    .machineUnknown,
                    "\(error)",
                    "use a QEMU that has it, or stop the guest and start it anew"
                )
            ]
        }
    }

    private func capabilityFindings(_ facts: QEMUFacts) -> [Finding] {
        GuestSupervisor.loadCapabilities.map(\.capability).filter { !facts.capabilities.contains($0) }.map { name in
            Finding(
                .blocker,
                .capabilityMissing,
                "\(facts.title) does not know migration's capability '\(name)'",
                "use a QEMU that has it"
            )
        }
    }

    private func deviceFindings(_ facts: QEMUFacts) -> [Finding] {
        let parts = CommandLineParts(nextCommandLine(facts))
        let remedy = "use a QEMU that has it; on Debian it may be in another package of the same version"
        var found: [Finding] = []
        if !hardware.single.extraArguments.isEmpty {
            found.append(
                Finding(
                    .warning,
                    .argumentsUnproven,
                    "'\(hardware.single.extraArguments.joined(separator: " "))' may or may not cross a handover: nobody has tried",
                    "'perdure upgrade --dry-run \(guest)' tries; a handover that fails leaves the guest where it was"
                )
            )
        }
        for part in parts.all where part.isOurs && !part.isKnown(to: facts) {
            found.append(
                Finding(
                    .blocker,
                    part.kind == .device ? .deviceMissing : .backendMissing,
                    "\(facts.title) has no \(part.kind.title) '\(part.type)'",
                    remedy
                )
            )
        }
        for part in parts.all where part.isOurs && (part.kind == .device || part.kind == .object) {
            guard let known = facts.properties[part.type] else { continue }
            for property in part.properties where !known.contains(property) {
                found.append(
                    Finding(
                        .blocker,
                        part.kind == .device ? .deviceMissing : .backendMissing,
                        "\(facts.title) has no property '\(property)' of the \(part.kind.title) '\(part.type)'",
                        remedy
                    )
                )
            }
        }
        guard let running else { return found }
        if let had = running.pci { return found + pciFindings(had, running.title) }
        let had = CommandLineParts(running.commandLine).devices
        if had != parts.devices {
            found.append(
                Finding(
                    .blocker,
                    .devicesDiffer,
                    "\(running.title) has the devices \(had.joined(separator: ", ")), "
                        + "and the next one would have \(parts.devices.joined(separator: ", "))",
                    "hand the guest over with the version of perdure that started it, or stop it and start it anew"
                )
            )
        }
        return found
    }

    private func queueFindings(_ facts: QEMUFacts) -> [Finding] {
        guard let bootedIn else { return [] }
        let devices = KnownIncompatibility.devicesRefused(of: hardware, bootedIn: bootedIn, by: facts.version)
        guard !devices.isEmpty else { return [] }
        return [
            Finding(
                .blocker,
                .queuesTooLong,
                "the guest has booted in QEMU \(bootedIn), which made the queues of \(devices.joined(separator: ", ")) longer "
                    + "than \(facts.title) can make them",
                "'systemctl stop perdure@\(guest)' and 'systemctl start perdure@\(guest)', when it suits the guest"
            )
        ]
    }

    /// What others have started may have the same devices by other words.
    private func pciFindings(_ had: [PCIFunction], _ title: String) -> [Finding] {
        guard let pci, Set(pci) != Set(had) else { return [] }
        let lost = had.filter { !pci.contains($0) }.map(\.description)
        let new = pci.filter { !had.contains($0) }.map(\.description)
        return [
            Finding(
                .blocker,
                .devicesDiffer,
                "\(title) has on its PCI bus \(lost.isEmpty ? "no more" : lost.joined(separator: ", ")), "
                    + "and the next one would have \(new.isEmpty ? "no more" : new.joined(separator: ", "))",
                "the guest can't be taken over"
            )
        ]
    }

    /// With numbers of descriptors that mean nothing.
    private func nextCommandLine(_ facts: QEMUFacts) -> [String] {
        QEMUCommandLine.arguments(
            guest: guest,
            generation: 0,
            hardware: hardware,
            descriptors: VMProcessDescriptors(
                ram: Dictionary(uniqueKeysWithValues: hardware.memoryBlocks.map { ($0.id, 0) }),
                qmp: 0,
                consoleLog: 0,
                agent: 0,
                tpm: 0,
                networks: Dictionary(
                    hardware.networks.map { network in
                        (network.id, NetworkDescriptors(taps: Array(repeating: 0, count: network.queues)))
                    }
                ) { first, _ in first }
            ),
            version: facts.version,
            incoming: true
        )
    }

    // MARK: CPU

    private var cpuFindings: [Finding] {
        let model = hardware.cpuModel
        switch machine {
        case nil: return []
        case .refused(let reason):
            return [
                Finding(
                    .blocker,
                    .cpuUnavailable,
                    "the next QEMU does not come up with the machine '\(hardware.machine)' and the CPU '\(model)': \(reason)",
                    Preflight.otherCPU
                )
            ]
        case .up(let next):
            guard let old = running?.cpu, let next else { return [] }
            let others = old.numbersToCompare(with: next)
            return placeFindings(old, next) + comparison(of: "the guest's CPU '\(model)'", old, next)
                + others.flatMap { comparison(of: "CPU \($0) of the guest, a '\(model)',", old[$0], next[$0]) }
        }
    }

    private static let otherCPU = "use a QEMU that has them, or stop the guest and start it anew"

    private func placeFindings(_ old: CPUFeatures, _ next: CPUFeatures) -> [Finding] {
        let moves = old.moves(in: next)
        guard let first = moves.first else { return [] }
        let more = moves.count > 1 ? ", and \(moves.count - 1) more CPUs are elsewhere" : ""
        return [
            Finding(
                .blocker,
                .cpuMoved,
                "in the next QEMU \(first)\(more)",
                "use a QEMU that has them in their places, or stop the guest and start it anew"
            )
        ]
    }

    /// - Parameter cpu: the beginning of a sentence.
    private func comparison(of cpu: String, _ old: CPUFeatures, _ next: CPUFeatures) -> [Finding] {
        var found: [Finding] = []
        let lost = old.lost(in: next)
        if !lost.isEmpty {
            found.append(
                Finding(
                    .blocker,
                    .cpuBitsMissing,
                    "\(cpu) would lose \(lost.joined(separator: ", ")) in the next QEMU",
                    Preflight.otherCPU
                )
            )
        }
        let differences = old.differences(in: next)
        let pin = "stop the guest and start it anew when that suits it, with a Model= of [CPU] that has versions"
        if !differences.isEmpty {
            found.append(
                Finding(
                    .warning,
                    .cpuDiffers,
                    "\(cpu) is another one in the next QEMU: \(differences.joined(separator: ", "))",
                    pin
                )
            )
        }
        if next.hasMore(than: old) {
            found.append(
                Finding(
                    .note,
                    .cpuBitsAdded,
                    "\(cpu) has more features in the next QEMU; the guest won't look again",
                    pin
                )
            )
        }
        return found
    }

    // MARK: The host

    private var memoryFindings: [Finding] {
        guard let memory else { return [] }
        func short(_ whose: String, _ room: UInt64, _ remedy: String) -> Finding {
            Finding(
                .blocker,
                .memoryShort,
                "a second VM process needs \(memory.needed >> 20) MiB besides the RAM, and \(whose) has \(room >> 20) MiB left",
                remedy
            )
        }
        var found: [Finding] = []
        if memory.available < memory.needed {
            found.append(short("the host", memory.available, "free memory on the host"))
        }
        if let group = memory.group, group.room < memory.needed {
            found.append(short("'\(group.name)'", group.room, "raise MemoryMax= of '\(group.name)'"))
        }
        return found
    }

    /// What the host's setting costs: QEMU asks for huge pages, and gets them where the setting is not one of these.
    private var hugePageFindings: [Finding] {
        let ordinary = hardware.memoryBlocks.filter { $0.hugePages == nil }.reduce(0) { $0 + $1.size }
        guard let setting = sharedHugePages, setting == "never" || setting == "deny", ordinary > 0 else { return [] }
        return [
            Finding(
                .note,
                .sharedHugePagesOff,
                "the guest's RAM is in pages of 4 KiB, since huge pages in shared memory are set to '\(setting)': each VM "
                    + "process takes up to \(max(ordinary >> 29, 1)) MiB to keep track of them, and memory is slower",
                "'echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled' lets guests that are started after it have "
                    + "huge pages; HugePages= in [RAM ID] sets some aside"
            )
        ]
    }

    private var changeFindings: [Finding] {
        var applied = changes.applied
        if let running, case .usable(let facts) = program,
            facts.path != running.qemu || facts.version != running.version
        {
            applied.append("the next VM process runs \(facts.title) instead of '\(running.qemu)' (\(running.version))")
        }
        return changes.waiting.map { change in
            Finding(
                .warning,
                .needsPowerCycle,
                change,
                "'\(Locations.current.systemctl) stop perdure@\(guest)' and '\(Locations.current.systemctl) start perdure@\(guest)' bring it about"
            )
        }
            + applied.map { change in
                Finding(.note, .appliedByHandover, change, "'perdure upgrade \(guest)' brings it about")
            }
    }

    /// The guest runs, and reboots, with copies.
    private var fileFindings: [Finding] {
        goneFiles.map { path in
            Finding(
                .warning,
                .startFileGone,
                "'\(path)' is gone: the guest keeps its copy, but can't be started again once it has been stopped",
                "put the file back, or name another one in the guest's definition, before that"
            )
        }
    }

    private var firmwareFindings: [Finding] {
        replacedFirmware.map { path in
            Finding(
                .note,
                .firmwareOutdated,
                "the guest was started with another firmware than '\(path)' is now, and no handover changes that",
                "stop and start its unit, when it suits"
            )
        }
    }

    private var outdatedFindings: [Finding] {
        guard let running, let file = running.replacedFiles.first else { return [] }
        let others = running.replacedFiles.count - 1
        return [
            Finding(
                .note,
                .qemuOutdated,
                "\(running.title) runs '\(file)'\(others > 0 ? " and \(others) more files" : "") "
                    + "that has been replaced on disk since",
                "'perdure upgrade \(guest)' takes the guest to what is installed now"
            )
        ]
    }
}

extension QEMUFacts {
    var title: String { "QEMU '\(path)' (\(version))" }
}
