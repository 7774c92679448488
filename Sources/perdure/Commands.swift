import ArgumentParser
import FoundationEssentials
import Supervisor
import Varlink

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Replace the VM process of a saved guest.")

    @OptionGroup var guest: GuestArgument
    @OptionGroup var option: QEMUOption

    func run() throws {
        let status = try GuestClient(guest.name).call(.exec, GuestInterface.QEMUParameters(qemu: option.qemu))
        print("\(guest.name): \(status.summary)")
    }
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show how a guest stands.")

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let status = try GuestClient(guest.name).call(.getStatus)
        guard json else {
            let outdated = "; its QEMU has been replaced on disk since it was started: 'perdure upgrade \(guest.name)'"
            print("\(guest.name): \(status.summary)\(status.outdated ? outdated : "")")
            // The summary has it after an attempt; it is true for longer.
            if let refusal = status.refusal, !status.summary.contains(refusal) { print("  \(refusal)") }
            return
        }
        try printJSON(status)
    }
}
