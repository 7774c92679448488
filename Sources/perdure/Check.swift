import ArgumentParser
import GuestDefinition

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say all that is wrong with a guest's definition, or what will be run."
    )

    @OptionGroup var guest: GuestArgument

    func run() throws {
        let definition: GuestDefinition
        let warnings: [Diagnostic]
        do {
            (definition, warnings) = try DefinitionLoader().load(guest.name)
        } catch {
            throw Exit.definition("the guest '\(guest.name)' can't be started:\n\(error)")
        }
        for warning in warnings { print("\(warning)") }
        let hardware = definition.hardware
        let ram = hardware.ram.map { "\($0.id) \($0.size >> 20) MiB" }.joined(separator: ", ")
        print("Guest:      \(definition.name)\(definition.description.map { " (\($0))" } ?? "")")
        print("Definition: \(definition.files.joined(separator: "\n            "))")
        print("QEMU:       \(definition.qemu)")
        print("Machine:    \(hardware.machine), \(hardware.accelerator.rawValue), pinned at the first start")
        print("CPUs:       \(hardware.cpuCount) × \(hardware.cpuModel)")
        print("RAM:        \(ram)")
        print("Kernel:     \(hardware.kernel.image) \(hardware.kernel.commandLine)")
        for disk in hardware.disks {
            print("Disk:       \(disk.id): \(disk.image) (\(disk.format.rawValue)\(disk.readOnly ? ", read-only" : ""))")
        }
    }
}
