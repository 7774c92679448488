import ArgumentParser
import GuestDefinition
import Linux
import Supervisor

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say all that is wrong with a guest's definition, or what will be run."
    )

    @OptionGroup var guest: GuestArgument

    func run() async throws {
        let definition: GuestDefinition
        let warnings: [Diagnostic]
        do {
            (definition, warnings) = try DefinitionLoader().load(guest.name)
        } catch {
            throw Exit.definition("the guest '\(guest.name)' can't be started:\n\(error)")
        }
        for warning in warnings { print("\(warning)") }
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
        print("Kernel:     \(hardware.kernel.image) \(hardware.kernel.commandLine)")
        for disk in hardware.disks {
            print(
                "Disk:       \(disk.id): \(disk.image) (\(disk.format.rawValue)\(disk.readOnly ? ", read-only" : ""))"
            )
        }
    }
}
