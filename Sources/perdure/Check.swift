import ArgumentParser
import FoundationEssentials
import GuestDefinition
import Linux
import Reports
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
    @OptionGroup var output: OutputOption

    func validate() throws {
        if !handover && option.qemu != nil { throw ValidationError("'--qemu' goes with '--handover'.") }
    }

    func run() async throws {
        if handover { return try checkHandover() }
        do {
            try await checkDefinition()
        } catch let error as DefinitionError where output.json {
            try printJSON(["problems": error.diagnostics.map(Problem.init)])
            throw ExitCode(Exit.definition.rawValue)
        } catch let error as DefinitionError {
            throw Exit.definition("the guest '\(guest.name)' can't be started:\n\(error)")
        } catch let error where output.json {
            try printJSON(["problems": [Problem("\(error)")]])
            throw ExitCode(Exit.definition.rawValue)
        } catch {
            throw Exit.definition("the guest '\(guest.name)' can't be started: \(error)")
        }
    }

    private func checkDefinition() async throws {
        let (definition, diagnostics) = try DefinitionLoader().load(guest.name)
        let warnings =
            diagnostics.map { "\($0)" }
            + GuestTPM.problems(definition.hardware).map { "warning: \($0)" }
            + HostNetwork.problems(definition.hardware, of: definition.name, isRunning: true).map { "warning: \($0)" }
        if !output.json { for warning in warnings { print(warning) } }
        var hardware = definition.hardware
        let loop = EventLoop(label: "perdure-check")
        let facts = try await QEMUProbe.run(path: definition.qemu, loop: loop, deadline: definition.handover.prepare)
        hardware.machine = try facts.pinnedMachine(hardware.machine)
        hardware.cpuModel = try facts.pinnedCPUModel(hardware.cpuModel)
        if output.json { return try printJSON(Checked(definition, hardware, facts, warnings)) }
        show(definition, hardware, facts)
    }

    private func show(_ definition: GuestDefinition, _ hardware: GuestHardware, _ facts: QEMUFacts) {
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
        if output.json {
            try printJSON(reply)
        } else {
            if let qemu = reply.qemu { print("QEMU:       \(qemu) (\(reply.qemuVersion ?? ""))") }
            for finding in reply.findings {
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
        let blockers = reply.findings.filter(\.isBlocker).map(\.identifier)
        guard !blockers.isEmpty else {
            if !output.json { print("The guest '\(guest.name)' can be handed over.") }
            return
        }
        throw Exit.refused("the guest '\(guest.name)' can't be handed over now: \(blockers.joined(separator: ", "))")
    }
}

/// A mistake in a definition, for programs.
private struct Problem: Encodable {
    var file: String?
    var line: Int?
    var column: Int?
    var severity = Diagnostic.Severity.error.rawValue
    var message: String

    init(_ message: String) { self.message = message }

    init(_ diagnostic: Diagnostic) {
        self.init(diagnostic.message)
        if !diagnostic.file.isEmpty { file = diagnostic.file }
        if diagnostic.line > 0 { (line, column) = (diagnostic.line, diagnostic.column) }
        severity = diagnostic.severity.rawValue
    }
}

/// What will be run, for programs.
private struct Checked: Encodable {
    struct RAM: Encodable {
        let id: String
        let bytes: UInt64
    }

    struct File: Encodable {
        let id: String
        let image: String
        let format: String
        let readOnly: Bool
    }

    let guest: String
    let files: [String]
    let qemu: String
    let qemuVersion: String
    let machine: String
    let accelerator: String
    let cpus: Int
    let cpuModel: String
    let ram: [RAM]
    let disks: [File]
    let networks: [String]
    let warnings: [String]

    init(_ definition: GuestDefinition, _ hardware: GuestHardware, _ facts: QEMUFacts, _ warnings: [String]) {
        guest = definition.name
        files = definition.files
        qemu = definition.qemu
        qemuVersion = "\(facts.version)"
        machine = hardware.machine
        accelerator = hardware.accelerator.rawValue
        cpus = hardware.cpuCount
        cpuModel = hardware.cpuModel
        ram = hardware.ram.map { RAM(id: $0.id, bytes: $0.size) }
        disks = hardware.disks.map {
            File(id: $0.id, image: $0.image, format: $0.format.rawValue, readOnly: $0.readOnly)
        }
        networks = hardware.networks.map(\.id)
        self.warnings = warnings
    }
}
