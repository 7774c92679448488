import ArgumentParser
import Linux
import Reports

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what on this host keeps Perdure from working well, and what helps.",
        discussion: "It exits with status 1 where it finds a problem; warnings and notes are none."
    )

    @OptionGroup var output: OutputOption
    @OptionGroup var manager: ManagerOption

    func run() async throws {
        let facts = await HostFacts.gather(loop: EventLoop(label: "perdure-doctor"))
        let findings = facts.findings
        if output.json {
            try printJSON(["findings": findings])
        } else {
            print("systemd:    \(facts.systemdVersion.map { "\($0)" } ?? "does not answer")")
            for qemu in facts.qemus { print("QEMU:       \(qemu.version ?? "unusable") (\(qemu.path))") }
            print("KVM:        \(facts.kvm == .usable ? "yes" : "no")")
            let running = facts.guests.filter { $0.activeState == "active" }.count
            print("Guests:     \(running) running")
            for finding in findings {
                print(
                    OutputStyle.standardOutput.finding(
                        finding.severity,
                        finding.sentence,
                        finding.identifier,
                        finding.remedy
                    )
                )
            }
        }
        let problems = findings.filter { $0.severity == .problem }.count
        if problems > 0 { throw ExitCode(Exit.failure.rawValue) }
        if !output.json && findings.isEmpty { print("Nothing keeps Perdure from working well.") }
    }
}
