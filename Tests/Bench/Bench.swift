import ArgumentParser
import Foundation
import Glibc
import SystemTestSupport

@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perdure-bench",
        abstract: "Measure Perdure's handovers beside the least that QEMU needs.",
        discussion: """
            Boots a systemd of its own with what 'make install DESTDIR=…' has put where PERDURE_TEST_STAGE says. Needs \
            root and 10 GiB of free memory. The exit status tells whether everything could be measured, not whether \
            the targets are met.
            """
    )

    @Option(help: "Handovers of each kind per guest.")
    var handovers = 200

    @Option(help: "Restarts of the unit.")
    var restarts = 20

    @Option(help: "Seconds for which the supervisor's idling is watched.")
    var idle = 30.0

    @Option(help: ArgumentHelp("Only this guest.", valueName: Configuration.all.map(\.name).joined(separator: "|")))
    var only: [String] = []

    @Option(help: "Write all figures to this file.", completion: .file())
    var json: String?

    func validate() throws {
        guard handovers > 0, restarts > 0, idle > 0 else { throw ValidationError("Counts are positive numbers.") }
        for name in only where !Configuration.all.contains(where: { $0.name == name }) {
            throw ValidationError("There is no guest '\(name)'.")
        }
    }

    func run() async throws {
        guard let stage = BootedSystem.stage, getuid() == 0 else {
            throw ValidationError("Run it as root, with an installed tree as PERDURE_TEST_STAGE.")
        }
        try await measureAll(stage)
    }

    /// On the main thread: the floor's QEMU dies with the thread that started it.
    @MainActor
    private func measureAll(_ stage: String) async throws {
        let system = try await BootedSystem.start(installing: stage)
        do {
            let figures = try await measure(in: system)
            say(figures.verdicts.map(\.text).joined(separator: "\n") + "\n")
            if let json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
                try encoder.encode(figures).write(to: URL(fileURLWithPath: json))
            }
        } catch {
            FileHandle.standardError.write(Data(await system.journalEnd().utf8))
            try? await system.stop()
            throw error
        }
        try await system.stop()
    }

    @MainActor
    private func measure(in system: BootedSystem) async throws -> Figures {
        var figures = Figures()
        for configuration in Configuration.all where only.isEmpty || only.contains(configuration.name) {
            let measurement = try await Measurement(configuration, in: system)
            let result = try await measurement.handOver(handovers)
            say(Table.text(of: result) + "\n")
            figures.configurations.append(result)
            if figures.restart == nil {
                let supervisor = try measurement.supervisor(idleFor: idle)
                say(Table.text(of: supervisor))
                figures.supervisor = supervisor
                let restart = try await measurement.restart(restarts)
                say(Table.text(of: restart) + "\n")
                figures.restart = restart
            }
            try measurement.finish()
        }
        return figures
    }
}

/// Seen at once, also where standard output is no terminal.
private func say(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
