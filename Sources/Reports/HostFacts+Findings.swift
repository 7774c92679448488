extension HostFacts {
    /// The oldest systemd and QEMU that Perdure is tested with.
    private static let oldestSystemd = 252
    private static let oldestQEMU = (7, 2)

    /// What keeps Perdure from working well here, problems first.
    public var findings: [HostFinding] {
        let all =
            systemdFindings + sessionFindings + storeFindings + unitFindings + enablementFindings + processorFindings
            + qemuFindings
            + memoryFindings
            + upgradeFindings + journalFindings
        return [HostFinding.Severity.problem, .warning, .note].flatMap { severity in
            all.filter { $0.severity == severity }
        }
    }

    // MARK: systemd

    private var systemctl: String { isUser ? "systemctl --user" : "systemctl" }

    /// A user's manager, and all guests with it, ends some time after the last session of the user.
    private var sessionFindings: [HostFinding] {
        guard isUser, !lingers else { return [] }
        return [
            HostFinding(
                .warning,
                "not-lingering",
                "your user manager ends when you log out, and powers your guests off",
                remedy: "'loginctl enable-linger' keeps it, and starts it with the host"
            )
        ]
    }

    private var systemdFindings: [HostFinding] {
        guard let version = systemdVersion else {
            return [
                HostFinding(
                    .problem,
                    "systemd-silent",
                    "systemd does not answer on its private socket",
                    remedy: "run this as root on a host that systemd has booted, or as a user whose manager runs"
                )
            ]
        }
        if version < HostFacts.oldestSystemd {
            return [
                HostFinding(
                    .problem,
                    "systemd-too-old",
                    "systemd \(version) is older than \(HostFacts.oldestSystemd), the oldest that guests are known to survive",
                    remedy: "upgrade the host to Debian 12 or later"
                )
            ]
        }
        var findings: [HostFinding] = []
        if version < 254 {
            findings.append(
                HostFinding(
                    .note,
                    "systemd-drops-stopped-units",
                    "systemd \(version) closes a unit's descriptors when the unit stops or fails for good",
                    remedy:
                        "nothing is to be done for guests that run; systemd 254 and later can keep those of stopped units"
                )
            )
        }
        if (255...256).contains(version) {
            findings.append(
                HostFinding(
                    .warning,
                    "systemd-aborts-on-lowered-store",
                    "systemd \(version) may abort when FileDescriptorStoreMax= of a unit in use is lowered",
                    remedy: "never lower it, or upgrade systemd to 257"
                )
            )
        }
        if version < 262 {
            findings.append(
                HostFinding(
                    .note,
                    "systemd-drops-units-without-file",
                    "systemd \(version) closes a running unit's descriptors at a reload while the unit's file is missing or "
                        + "the unit is masked",
                    remedy: "don't mask or remove perdure@.service under a running guest; supervisors say so and store "
                        + "everything again"
                )
            )
        }
        return findings
    }

    private var storeFindings: [HostFinding] {
        guests.filter { $0.storeLimit < HostFacts.storeLimit && $0.loadState == "loaded" }.map { guest in
            HostFinding(
                .problem,
                "store-lowered",
                "FileDescriptorStoreMax= of 'perdure@\(guest.name).service' is \(guest.storeLimit), less than "
                    + "\(HostFacts.storeLimit): the guest may not survive its supervisor",
                remedy:
                    "take it out of the drop-in ('\(systemctl) cat perdure@\(guest.name)'), then '\(systemctl) daemon-reload'"
            )
        }
    }

    private var unitFindings: [HostFinding] {
        guests.flatMap { guest -> [HostFinding] in
            let unit = "perdure@\(guest.name).service"
            if guest.isActive, guest.loadState != "loaded" {
                return [
                    HostFinding(
                        .problem,
                        "unit-not-loaded",
                        "'\(unit)' runs, but is '\(guest.loadState)': systemd does not keep what the guest needs to survive",
                        remedy:
                            "'\(systemctl) unmask \(unit)' or install its file again, then '\(systemctl) daemon-reload'"
                    )
                ]
            }
            if !guest.isActive, !guest.isStartedByItself, guest.storedDescriptors > 0 {
                let mayForget = systemdVersion.map { $0 < 261 } ?? true
                return [
                    HostFinding(
                        mayForget ? .problem : .warning,
                        "held-unit-not-enabled",
                        "guest '\(guest.name)' is held, and its unit is not enabled"
                            + (mayForget ? ": systemd may forget the unit, and with it the guest" : ""),
                        remedy: "'\(systemctl) enable \(unit)'"
                    )
                ]
            }
            return []
        }
    }

    /// One for all guests: on many hosts it is so for each of them.
    private var enablementFindings: [HostFinding] {
        let names = guests.filter { $0.isActive && $0.loadState == "loaded" && !$0.isStartedByItself }.map(\.name)
        if names.isEmpty { return [] }
        let units = names.map { "perdure@\($0).service" }.joined(separator: " ")
        let what = names.count == 1 ? "runs, and its unit is" : "run, and their units are"
        return [
            HostFinding(
                .note,
                "unit-not-enabled",
                "\(HostFacts.list(names)) \(what) not enabled: not started with the host",
                remedy: "'\(systemctl) enable \(units)', if that is not wanted so"
            )
        ]
    }

    // MARK: Processor, QEMU, memory

    private var processorFindings: [HostFinding] {
        let who = guestsWithKVM.isEmpty ? "" : ", which \(HostFacts.list(guestsWithKVM)) can't be run without"
        let severity: HostFinding.Severity = guestsWithKVM.isEmpty ? .warning : .problem
        switch kvm {
        case .usable: return []
        case .missing:
            return [
                HostFinding(
                    severity,
                    "kvm-missing",
                    "there is no /dev/kvm\(who)",
                    remedy:
                        "load kvm_intel or kvm_amd, switch virtualization on in the host's firmware or its hypervisor, or set "
                        + "Accelerator=tcg"
                )
            ]
        case .forbidden:
            return [
                HostFinding(
                    severity,
                    "kvm-forbidden",
                    "/dev/kvm can't be opened\(who)",
                    remedy: "run this as root, or add the user to the group 'kvm'"
                )
            ]
        }
    }

    private var qemuFindings: [HostFinding] {
        var findings = brokenGuests.map { guest in
            HostFinding(
                .warning,
                "definition-invalid",
                "the definition of guest '\(guest)' has mistakes in it: it can't be started, or handed over while it runs",
                remedy: "'perdure check \(guest)' shows them all"
            )
        }
        for qemu in qemus {
            let users = qemu.guests.isEmpty ? "" : ", which \(HostFacts.list(qemu.guests)) is to run in"
            if let problem = qemu.problem {
                findings.append(
                    HostFinding(
                        qemu.guests.isEmpty ? .warning : .problem,
                        "qemu-unusable",
                        "'\(qemu.path)'\(users), can't be used: \(problem)",
                        remedy: "install qemu-system-x86, or mend QEMU= in the definition"
                    )
                )
            } else if let version = qemu.version, HostFacts.isTooOld(version) {
                findings.append(
                    HostFinding(
                        .warning,
                        "qemu-too-old",
                        "'\(qemu.path)' is QEMU \(version), older than any that Perdure is tested with",
                        remedy:
                            "upgrade qemu-system-x86 to \(HostFacts.oldestQEMU.0).\(HostFacts.oldestQEMU.1) or later"
                    )
                )
            }
        }
        for guest in guests where guest.isOutdated {
            findings.append(
                HostFinding(
                    .warning,
                    "qemu-outdated",
                    "the QEMU that guest '\(guest.name)' runs in was replaced on disk since",
                    remedy: "'perdure upgrade \(guest.name)'"
                )
            )
        }
        for guest in guests where guest.hasOldFirmware {
            let unit = "perdure@\(guest.name).service"
            findings.append(
                HostFinding(
                    .note,
                    "firmware-outdated",
                    "the firmware that guest '\(guest.name)' was started with was replaced on disk since; no handover changes it",
                    remedy: "'\(systemctl) stop \(unit)' and '\(systemctl) start \(unit)', when it suits"
                )
            )
        }
        return findings
    }

    private static func isTooOld(_ version: String) -> Bool {
        let numbers = version.split(separator: ".").compactMap { Int($0) }
        return numbers.count >= 2 && (numbers[0], numbers[1]) < oldestQEMU
    }

    private var memoryFindings: [HostFinding] {
        var findings: [HostFinding] = []
        if let largest = guests.max(by: { $0.processBytes ?? 0 < $1.processBytes ?? 0 }),
            let needed = largest.processBytes,
            availableMemory < UInt64(clamping: needed)
        {
            findings.append(
                HostFinding(
                    .warning,
                    "memory-short",
                    "\(availableMemory >> 20) MiB of memory are left, and a second VM process of guest '\(largest.name)' takes "
                        + "\(needed >> 20) MiB during a handover",
                    remedy: "free memory, or add some; the guest's RAM itself is not needed twice"
                )
            )
        }
        if let choice = sharedHugePages, ["never", "deny"].contains(choice) {
            findings.append(
                HostFinding(
                    .note,
                    "shared-huge-pages-off",
                    "transparent huge pages are off for shared memory ('\(choice)'), which guests' RAM is: guests with much "
                        + "memory are slower than they could be",
                    remedy:
                        "write 'advise' to /sys/kernel/mm/transparent_hugepage/shmem_enabled before guests are started"
                )
            )
        }
        return findings
    }

    // MARK: Upgrades and the journal

    private var upgradeFindings: [HostFinding] {
        var findings: [HostFinding] = []
        switch needrestart {
        case .absent, .restartsGuests: break
        case .unconfigured:
            findings.append(
                HostFinding(
                    .note,
                    "needrestart-asks",
                    "needrestart asks before it restarts guests' units after an upgrade, although a restart only hands them over",
                    remedy: "put '$nrconf{override_rc}{qr(^perdure@)} = 1;' into /etc/needrestart/conf.d/perdure.conf"
                )
            )
        case .leavesGuestsAlone:
            findings.append(
                HostFinding(
                    .warning,
                    "needrestart-ignores-guests",
                    "needrestart is told to leave guests' units alone: upgrades of QEMU and libraries do not reach them",
                    remedy:
                        "set '$nrconf{override_rc}{qr(^perdure@)} = 1;' in /etc/needrestart/conf.d, or run 'perdure upgrade' "
                        + "after upgrades"
                )
            )
        }
        if hasAutomaticReboots {
            findings.append(
                HostFinding(
                    .warning,
                    "automatic-reboots",
                    "unattended-upgrades reboots this host by itself, which powers all guests off",
                    remedy:
                        "set 'Unattended-Upgrade::Automatic-Reboot \"false\";' in /etc/apt/apt.conf.d, and reboot when it suits"
                )
            )
        }
        return findings
    }

    private var journalFindings: [HostFinding] {
        if hasPersistentJournal { return [] }
        return [
            HostFinding(
                .note,
                "journal-volatile",
                "the journal is lost with each reboot, and what 'perdure history' knows with it",
                remedy: "'mkdir /var/log/journal', or Storage=persistent in journald.conf"
            )
        ]
    }

    private static func list(_ guests: [String]) -> String {
        let shown = guests.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
        return "\(guests.count == 1 ? "guest" : "guests") \(shown)"
            + (guests.count > 3 ? " and \(guests.count - 3) more" : "")
    }
}
