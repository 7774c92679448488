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
        let ram = hardware.ram.map { "\($0.id) \($0.size >> 20) MiB" }.joined(separator: ", ")
        print("Guest:      \(definition.name)\(definition.description.map { " (\($0))" } ?? "")")
        print("Definition: \(definition.files.joined(separator: "\n            "))")
        print("QEMU:       \(definition.qemu) (\(facts.version), \(facts.package))")
        print("Machine:    \(hardware.machine), \(hardware.accelerator.rawValue)")
        print("CPUs:       \(hardware.cpuCount) × \(hardware.cpuModel)")
        print("RAM:        \(ram)")
        if let firmware = hardware.firmware {
            let store = firmware.variables.map { ", variables in '\($0.path)'" } ?? ""
            let kind = "\(firmware.kind.rawValue)\(firmware.secureBoot ? " with secure boot" : "")"
            print("Firmware:   \(kind)\(firmware.image.map { " '\($0)'" } ?? "")\(store)")
        }
        if let kernel = hardware.kernel {
            print("Kernel:     \(kernel.image) \(kernel.commandLine)")
        } else {
            print("Boot order: \(hardware.disks.map(\.id).joined(separator: ", "))")
        }
        for disk in hardware.disks {
            print(
                "Disk:       \(disk.id): \(disk.image) (\(disk.format.rawValue)\(disk.readOnly ? ", read-only" : ""))"
            )
        }
        for network in hardware.networks { print("Network:    \(network.id): \(describe(network))") }
    }

    private func describe(_ network: Network) -> String {
        switch network.type {
        case .tap: "tap '\(network.interface)'\(network.bridge.map { " on bridge '\($0)'" } ?? ""), \(network.mac)"
        case .user: "user, \(network.mac)\(network.forwards.map { ", \($0.description)" }.joined())"
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
