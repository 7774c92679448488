import Foundation
import Glibc
import GuestDefinition
import SystemTestSupport

/// One configuration, run under Perdure and under the floor by turns, so that what else the machine does hits both.
/// While the one is measured, the other is frozen.
final class Measurement {
    private let configuration: Configuration
    private let system: BootedSystem
    private let perdure: PerdureGuest
    private let floor: FloorGuest

    private static let kernelDirectory = "/var/lib/perdure-tests"
    private static let diskDirectory = "/var/lib/perdure-bench"

    /// Boots both guests and waits until their memory is in use.
    init(_ configuration: Configuration, in system: BootedSystem) async throws {
        self.configuration = configuration
        self.system = system
        let disks = ["perdure", "floor"].map { "\(Self.diskDirectory)/\(configuration.name)-\($0).qcow2" }
        if configuration.writes {
            try await system.run(["mkdir", "-p", Self.diskDirectory])
            for disk in disks {
                try await system.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "\(Configuration.diskMiB)M"])
            }
        }
        let definition = configuration.definition(kernelIn: Self.kernelDirectory, disk: disks[0])
        perdure = try await PerdureGuest.start(configuration.name, definition: definition, in: system)
        // On the same filesystem, seen from outside.
        let hardware = configuration.hardware(
            kernelIn: BootedSystem.cache,
            disk: system.hostPath(disks[1]),
            machine: try Self.value("-machine", in: perdure.arguments, droppingSuffix: ",memory-backend=ram.main"),
            cpuModel: try Self.value("-cpu", in: perdure.arguments, droppingSuffix: ",enforce")
        )
        floor = try FloorGuest(hardware: hardware, version: try await Self.installedQEMU())
        try checkCommandLines(disks: [disks[0], system.hostPath(disks[1])])
        for console in [perdure.console, floor.console] {
            try await system.waitUntil("the guest to fill its memory", deadline: .seconds(600)) {
                let console = try console()
                return try !console.boots.isEmpty && console.verified().pages > 0
            }
        }
    }

    /// Hands both guests over `count` times.
    func handOver(_ count: Int) async throws -> ConfigurationFigures {
        let perdureHeart = try Heartbeat(memory: perdure.memory, boot: perdure.console().verified())
        let floorHeart = try Heartbeat(memory: floor.memory, boot: floor.console().verified())
        var perdureGaps: [Double] = []
        var perdureWalls: [Double] = []
        var floorGaps: [Double] = []
        var floorWalls: [Double] = []
        var floorHandovers: [Handover] = []
        var quiet: [[Double]] = []
        for number in 0..<count {
            try alone {
                let gaps = try perdureHeart.gaps {
                    try perdureWalls.append(milliseconds { try perdure.handOver() })
                }
                perdureGaps.append(gaps.max() ?? .nan)
                if number.isMultiple(of: 5) {
                    quiet.append(try perdureHeart.gaps { Thread.sleep(forTimeInterval: perdureWalls[number] / 1000) })
                }
            }
            try perdure.freeze()
            let gaps = try floorHeart.gaps {
                try floorWalls.append(milliseconds { try floorHandovers.append(floor.handOver()) })
            }
            floorGaps.append(gaps.max() ?? .nan)
            try perdure.thaw()
        }
        let handovers = try await perdure.handovers()
        guard handovers.count == count else {
            throw CommandFailure(description: "The journal has \(handovers.count) handovers instead of \(count).")
        }
        return ConfigurationFigures(
            configuration: configuration,
            perdure: HandoverFigures(handovers, largestGaps: perdureGaps, walls: perdureWalls),
            floor: HandoverFigures(floorHandovers, largestGaps: floorGaps, walls: floorWalls),
            quiet: QuietFigures(windows: quiet)
        )
    }

    func restart(_ count: Int) async throws -> RestartFigures {
        let before = try await perdure.handovers().count
        let walls = try alone { try (0..<count).map { _ in try milliseconds { try perdure.restart() } } }
        let pauses = try await perdure.handovers().dropFirst(before).map(\.pause)
        guard pauses.count == count else {
            throw CommandFailure(description: "\(count) restarts led to \(pauses.count) handovers.")
        }
        return RestartFigures(wall: Samples(walls), pause: Samples(pauses))
    }

    func supervisor(idleFor seconds: Double) throws -> SupervisorFigures {
        try alone { try perdure.measureSupervisor(idleFor: seconds) }
    }

    /// Ends both guests, and throws if either has noticed anything.
    func finish() throws {
        let boot = try floor.console().verified()
        guard boot.lastTick > 0 else { throw CommandFailure(description: "The floor's guest has not ticked.") }
        try floor.end()
        try perdure.stop()
        let end = try perdure.console().verified()
        guard end.ending == .powerOff else {
            throw CommandFailure(description: "Perdure's guest was not powered off in an orderly way.")
        }
    }

    /// With the floor's guest frozen.
    private func alone<Result>(_ body: () throws -> Result) throws -> Result {
        try floor.freeze()
        let result = try body()
        try floor.thaw()
        return result
    }

    /// It would mean nothing to compare different QEMUs.
    private func checkCommandLines(disks: [String]) throws {
        func normalized(_ arguments: [String], _ name: String, _ disk: String, _ directory: String) -> [String] {
            arguments.map { argument in
                argument.replacing(/fd([=\/])[0-9]+/) { "fd\($0.output.1)N" }
                    .replacing("\(directory)/", with: "DIRECTORY/").replacing(disk, with: "DISK")
                    .replacing("guest=\(name),process=qemu-\(name)", with: "NAME")
            }
        }
        let ours = normalized(perdure.arguments, configuration.name, disks[0], Self.kernelDirectory)
        let others = normalized(floor.arguments, "floor", disks[1], BootedSystem.cache)
        if ours == others { return }
        throw CommandFailure(description: "The floor's QEMU is another:\n\(ours)\n\(others)")
    }

    private static func value(_ option: String, in arguments: [String], droppingSuffix suffix: String) throws -> String
    {
        guard let position = arguments.firstIndex(of: option), position + 1 < arguments.count,
            arguments[position + 1].hasSuffix(suffix)
        else { throw CommandFailure(description: "Perdure's QEMU has no '\(option) …\(suffix)'.") }
        return String(arguments[position + 1].dropLast(suffix.count))
    }

    private static func installedQEMU() async throws -> QEMUVersion {
        let text = try await Command.run([GuestDefinition.defaultQEMU, "--version"]).stdout
        guard let match = text.firstMatch(of: /version ([0-9]+)\.([0-9]+)\.([0-9]+)/)?.output,
            let major = Int(match.1), let minor = Int(match.2), let micro = Int(match.3)
        else { throw CommandFailure(description: "'\(GuestDefinition.defaultQEMU) --version' says '\(text)'.") }
        return QEMUVersion(major: major, minor: minor, micro: micro)
    }
}
