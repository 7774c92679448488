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
    @Flag(
        help:
            "Only try whether the new QEMU loads the guest, which is paused for that moment and then runs on as before."
    )
    var dryRun = false

    func run() throws {
        let parameters = GuestInterface.QEMUParameters(qemu: option.qemu)
        let client = try GuestClient(guest.name)
        if dryRun {
            let (reply, _) = try client.call(.rehearse, parameters, as: GuestInterface.RehearsalReply.self)
            let pause = Milliseconds(microseconds: reply.pauseUsec)
            return print("QEMU \(reply.qemuVersion) loads guest '\(guest.name)'; pause \(pause)")
        }
        let status = try client.call(.upgrade, parameters)
        print("\(guest.name): \(status.summary)")
    }
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
