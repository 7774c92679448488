import Testing

@testable import Reports

struct HostFactsTests {
    /// A host that has nothing to complain about.
    private static var healthy: HostFacts {
        var facts = HostFacts()
        facts.systemdVersion = 262
        facts.sharedHugePages = "advise"
        facts.availableMemory = 8 << 30
        facts.qemus = [HostFacts.QEMU(path: "/usr/bin/q", guests: ["web"], version: "10.0.3", problem: nil)]
        facts.needrestart = .restartsGuests
        var guest = HostFacts.Guest(name: "web")
        guest.activeState = "active"
        guest.storedDescriptors = 5
        guest.processBytes = 60 << 20
        facts.guests = [guest]
        return facts
    }

    private static func findings(_ change: (inout HostFacts) -> Void) -> [String] {
        var facts = healthy
        change(&facts)
        return facts.findings.map { "\($0.severity) \($0.identifier)" }
    }

    @Test func healthyHost() { #expect(HostFactsTests.healthy.findings == []) }

    @Test func usersManagerThatEnds() {
        #expect(HostFactsTests.findings { $0.isUser = true } == ["warning not-lingering"])
        #expect(HostFactsTests.findings { ($0.isUser, $0.lingers) = (true, true) } == [])
        var facts = HostFactsTests.healthy
        (facts.isUser, facts.lingers, facts.guests[0].unitFileState) = (true, true, "disabled")
        #expect(facts.findings.first?.remedy.hasPrefix("'systemctl --user enable ") == true)
    }

    @Test(
        arguments: [
            (nil, ["problem systemd-silent"]), (249, ["problem systemd-too-old"]),
            (252, ["note systemd-drops-stopped-units", "note systemd-drops-units-without-file"]),
            (254, ["note systemd-drops-units-without-file"]),
            (255, ["warning systemd-aborts-on-lowered-store", "note systemd-drops-units-without-file"]),
            (257, ["note systemd-drops-units-without-file"]), (262, []),
        ] as [(Int?, [String])]
    )
    func systemd(version: Int?, findings: [String]) {
        #expect(HostFactsTests.findings { $0.systemdVersion = version } == findings)
    }

    @Test func units() {
        #expect(HostFactsTests.findings { $0.guests[0].storeLimit = 63 } == ["problem store-lowered"])
        #expect(HostFactsTests.findings { $0.guests[0].loadState = "masked" } == ["problem unit-not-loaded"])
        #expect(HostFactsTests.findings { $0.guests[0].unitFileState = "disabled" } == ["note unit-not-enabled"])
        #expect(HostFactsTests.findings { $0.guests[0].unitFileState = "enabled-runtime" } == [])
        var facts = HostFactsTests.healthy
        facts.guests[0].unitFileState = "disabled"
        facts.guests += [facts.guests[0]]
        facts.guests[1].name = "db"
        let finding = facts.findings.first
        #expect(facts.findings.count == 1 && finding?.sentence.hasPrefix("guests 'web', 'db' run, ") == true)
        #expect(finding?.remedy.contains("enable perdure@web.service perdure@db.service'") == true)
        let held: (inout HostFacts) -> Void = {
            $0.guests[0].unitFileState = "disabled"
            $0.guests[0].activeState = "inactive"
        }
        #expect(HostFactsTests.findings(held) == ["warning held-unit-not-enabled"])
        #expect(
            HostFactsTests.findings {
                held(&$0)
                $0.systemdVersion = 260
            } == ["problem held-unit-not-enabled", "note systemd-drops-units-without-file"]
        )
        #expect(
            HostFactsTests.findings {
                held(&$0)
                $0.guests[0].storedDescriptors = 0
            } == []
        )
    }

    @Test func processor() {
        #expect(HostFactsTests.findings { $0.kvm = .missing } == ["warning kvm-missing"])
        #expect(HostFactsTests.findings { $0.kvm = .forbidden } == ["warning kvm-forbidden"])
        let wanted = HostFactsTests.findings {
            $0.kvm = .missing
            $0.guestsWithKVM = ["web"]
        }
        #expect(wanted == ["problem kvm-missing"])
    }

    @Test func qemu() {
        let missing = HostFacts.QEMU(path: "/q", guests: ["web"], version: nil, problem: "it is not there")
        #expect(HostFactsTests.findings { $0.qemus = [missing] } == ["problem qemu-unusable"])
        let unused = HostFacts.QEMU(path: "/q", guests: [], version: nil, problem: "it is not there")
        #expect(HostFactsTests.findings { $0.qemus = [unused] } == ["warning qemu-unusable"])
        let old = HostFacts.QEMU(path: "/q", guests: [], version: "6.2.0", problem: nil)
        #expect(HostFactsTests.findings { $0.qemus = [old] } == ["warning qemu-too-old"])
        #expect(HostFactsTests.findings { $0.guests[0].isOutdated = true } == ["warning qemu-outdated"])
        #expect(HostFactsTests.findings { $0.guests[0].hasOldFirmware = true } == ["note firmware-outdated"])
        #expect(HostFactsTests.findings { $0.brokenGuests = ["db"] } == ["warning definition-invalid"])
    }

    @Test func memory() {
        #expect(HostFactsTests.findings { $0.availableMemory = 59 << 20 } == ["warning memory-short"])
        #expect(HostFactsTests.findings { $0.availableMemory = 61 << 20 } == [])
        for choice in ["never", "deny"] {
            #expect(HostFactsTests.findings { $0.sharedHugePages = choice } == ["note shared-huge-pages-off"])
        }
        #expect(HostFactsTests.findings { $0.sharedHugePages = nil } == [])
    }

    @Test func upgrades() {
        #expect(HostFactsTests.findings { $0.needrestart = .unconfigured } == ["note needrestart-asks"])
        #expect(
            HostFactsTests.findings { $0.needrestart = .leavesGuestsAlone } == ["warning needrestart-ignores-guests"]
        )
        #expect(HostFactsTests.findings { $0.hasAutomaticReboots = true } == ["warning automatic-reboots"])
        #expect(HostFactsTests.findings { $0.hasPersistentJournal = false } == ["note journal-volatile"])
    }

    @Test func sentencesAndRemedies() {
        var facts = HostFactsTests.healthy
        facts.systemdVersion = 255
        facts.kvm = .missing
        facts.guestsWithKVM = ["a", "b", "c", "d", "e"]
        facts.guests[0].storeLimit = 3
        for finding in facts.findings { #expect(!finding.sentence.hasSuffix(".") && !finding.remedy.isEmpty) }
        #expect(facts.findings.contains { $0.sentence.contains("guests 'a', 'b', 'c' and 2 more") })
        #expect(facts.findings.map(\.severity.rawValue) == ["problem", "problem", "warning", "note"])
    }

    @Test(
        arguments: [
            ("252.39-1~deb12u1", 252), ("v262", 262), ("261~rc1", 261), ("", nil), ("none", nil),
        ] as [(String, Int?)]
    )
    func systemdVersions(text: String, version: Int?) { #expect(HostFacts.systemdVersion(in: text) == version) }

    @Test(
        arguments: [
            ("always within_size advise [never] deny force\n", "never"), ("[always] never", "always"), ("never", nil),
            ("][", nil),
        ] as [(String, String?)]
    )
    func choices(text: String, choice: String?) { #expect(HostFacts.choice(in: text) == choice) }

    @Test(arguments: [
        ("", HostFacts.Needrestart.unconfigured), ("# $nrconf{override_rc}{qr(^perdure@)} = 0;", .unconfigured),
        ("$nrconf{override_rc}{qr(^perdure@)} = 1;", .restartsGuests),
        ("  qr(^perdure@) => 0,\n", .leavesGuestsAlone),
        ("$nrconf{override_rc}{qr(^perdure@)} = 0;\n$nrconf{override_rc}{qr(^perdure@)} = 1;", .restartsGuests),
    ])
    func needrestart(text: String, setting: HostFacts.Needrestart) {
        #expect(HostFacts.needrestart(in: text) == setting)
    }

    @Test(arguments: [
        (#"Unattended-Upgrade::Automatic-Reboot "true";"#, true),
        (#"Unattended-Upgrade::Automatic-Reboot "false";"#, false),
        (#"Unattended-Upgrade::Automatic-Reboot-Time "true";"#, false), ("", false),
        ("Unattended-Upgrade::Automatic-Reboot \"true\";\nUnattended-Upgrade::Automatic-Reboot \"false\";", false),
    ])
    func automaticReboots(dump: String, reboots: Bool) { #expect(HostFacts.hasAutomaticReboots(in: dump) == reboots) }
}
