import ArgumentParser
import Varlink

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Replace the VM process of a saved guest.")

    @OptionGroup var guest: GuestArgument
    @OptionGroup var option: QEMUOption
    @OptionGroup var output: OutputOption

    func run() throws {
        let parameters = GuestInterface.QEMUParameters(qemu: option.qemu)
        let progress = ProgressLine.ifSeen(json: output.json)
        let status = try GuestClient(guest.name).call(.exec, parameters, progress: progress)
        try output.show(status, "\(guest.name): \(status.summary)")
    }
}
