import ArgumentParser
import FoundationEssentials
import Supervisor
import Varlink

struct Upgrade: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the VM process under a running guest, by default with the QEMU that is installed now."
    )

    @OptionGroup var guest: GuestArgument
    @OptionGroup var option: QEMUOption

    func run() throws {
        let status = try GuestClient(guest.name).call(.upgrade, GuestInterface.QEMUParameters(qemu: option.qemu))
        print("\(guest.name): \(status.summary)")
    }
}

struct Save: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pause a guest and save its device state; 'exec' and 'load' continue it."
    )

    @OptionGroup var guest: GuestArgument

    func run() throws { print("\(guest.name): \(try GuestClient(guest.name).call(.save).summary)") }
}

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Replace the VM process of a saved guest.")

    @OptionGroup var guest: GuestArgument
    @OptionGroup var option: QEMUOption

    func run() throws {
        let status = try GuestClient(guest.name).call(.exec, GuestInterface.QEMUParameters(qemu: option.qemu))
        print("\(guest.name): \(status.summary)")
    }
}

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load a saved guest into its new VM process and continue it."
    )

    @OptionGroup var guest: GuestArgument

    func run() throws { print("\(guest.name): \(try GuestClient(guest.name).call(.load).summary)") }
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show how a guest stands.")

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let status = try GuestClient(guest.name).call(.getStatus)
        guard json else {
            print("\(guest.name): \(status.summary)")
            // The summary has it after an attempt; it is true for longer.
            if let refusal = status.refusal, !status.summary.contains(refusal) { print("  \(refusal)") }
            return
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(status), as: UTF8.self))
    }
}
