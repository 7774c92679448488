import ArgumentParser
import FoundationEssentials
import GuestDefinition
import Linux
import Supervisor
import Varlink

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say all that is wrong with a guest's definition, or what will be run.",
        discussion: "With --handover it says all that speaks for or against a handover of the running guest, without "
            + "pausing it. It exits with status 75 where a handover would be refused."
    )

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Check whether the running guest can be handed over now.")
    var handover = false
    @OptionGroup var option: QEMUOption
    @Flag(help: "Print JSON; with --handover.")
    var json = false

    func validate() throws {
        if !handover && (json || option.qemu != nil) {
            throw ValidationError("'--json' and '--qemu' go with '--handover'.")
        }
    }

    func run() async throws {
        if handover { return try checkHandover() }
        let definition: GuestDefinition
        let warnings: [Diagnostic]
        do {
            (definition, warnings) = try DefinitionLoader().load(guest.name)
        } catch {
            throw Exit.definition("the guest '\(guest.name)' can't be started:\n\(error)")
        }
        for warning in warnings { print("\(warning)") }
        for problem in HostNetwork.problems(definition.hardware, isRunning: true) { print("warning: \(problem)") }
        let facts: QEMUFacts
        var hardware = definition.hardware
        do {
            let loop = EventLoop(label: "perdure-check")
            facts = try await QEMUProbe.run(path: definition.qemu, loop: loop, deadline: definition.handover.prepare)
            hardware.machine = try facts.pinnedMachine(hardware.machine)
            hardware.cpuModel = try facts.pinnedCPUModel(hardware.cpuModel)
        } catch {
            throw Exit.definition("the guest '\(guest.name)' can't be started: \(error)")
        }
        print("Guest:      \(definition.name)\(definition.description.map { " (\($0))" } ?? "")")
        print("Definition: \(definition.files.joined(separator: "\n            "))")
        print("QEMU:       \(definition.qemu) (\(facts.version), \(facts.package))")
        for (title, text) in hardware.summary {
            print("\(title):\(String(repeating: " ", count: max(1, 11 - title.utf8.count)))\(text)")
        }
    }

    private func checkHandover() throws {
        let (reply, _) = try GuestClient(guest.name).call(
            .checkHandover,
            GuestInterface.QEMUParameters(qemu: option.qemu),
            as: GuestInterface.CheckReply.self
        )
        if json {
            try printJSON(reply)
        } else {
            if let qemu = reply.qemu { print("QEMU:       \(qemu) (\(reply.qemuVersion ?? ""))") }
            for finding in reply.findings {
                print("\(finding.severity): \(finding.sentence) [\(finding.identifier)]\n  \(finding.remedy)")
            }
        }
        let blockers = reply.findings.filter(\.isBlocker).map(\.identifier)
        guard !blockers.isEmpty else {
            if !json { print("The guest '\(guest.name)' can be handed over.") }
            return
        }
        throw Exit.refused("the guest '\(guest.name)' can't be handed over now: \(blockers.joined(separator: ", "))")
    }
}
