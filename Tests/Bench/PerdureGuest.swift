import Foundation
import Glibc
import GuestDefinition
import Linux
import SystemTestSupport

/// A guest under Perdure, in a booted system.
final class PerdureGuest {
    private let system: BootedSystem
    private let shell: SystemShell
    private let name: String
    private let freezer: String
    let memory: Descriptor
    private let consoleLog: Descriptor
    /// Arguments of the QEMU process that booted the guest.
    let arguments: [String]

    private var unit: String { "perdure@\(name).service" }

    /// MESSAGE_ID of the journal entry about a handover that is done.
    private static let handoverDone = "ab1ebcf047ef457183cc2afa5ccf1e2d"

    /// Starts a guest.
    static func start(_ name: String, definition: String, in system: BootedSystem) async throws -> PerdureGuest {
        try await system.write("/etc/perdure/\(name).guest", definition)
        try await system.run(["systemctl", "start", "perdure@\(name)"], deadline: .seconds(120))
        let processes = try system.processes(named: "qemu-system-x86_64")
        guard let process = processes.first(where: { $0.cgroup.contains("/perdure-\(name)-") }), processes.count == 1
        else {
            throw CommandFailure(description: "\(processes.count) QEMU processes run where there should be one.")
        }
        return try PerdureGuest(name, process, in: system)
    }

    private init(_ name: String, _ process: SystemProcess, in system: BootedSystem) throws {
        self.system = system
        self.name = name
        shell = try SystemShell(in: system)
        arguments = Array(process.arguments.dropFirst())
        // All VM processes of the guest are in its slice, and nothing else is.
        freezer = system.cgroup + (process.cgroup as NSString).deletingLastPathComponent + "/cgroup.freeze"
        memory = try Self.open("ram.main", of: process)
        consoleLog = try Self.open("console.log", of: process)
    }

    /// Opens a memory file of a process.
    private static func open(_ name: String, of process: SystemProcess) throws -> Descriptor {
        let directory = "/proc/\(process.hostPID)/fd"
        for number in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let path = "\(directory)/\(number)"
            let link = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
            if link == "/memfd:\(name) (deleted)" { return try Descriptor.open(path, O_RDONLY) }
        }
        throw CommandFailure(description: "VM process \(process.pid) has no memory file '\(name)'.")
    }

    func console() throws -> GuestConsole {
        GuestConsole(try consoleLog.read(at: 0, count: Int(consoleLog.size())))
    }

    func freeze() throws { try setFrozen("1") }

    func thaw() throws { try setFrozen("0") }

    private func setFrozen(_ value: String) throws {
        try Descriptor.open(freezer, O_WRONLY).write(Array(value.utf8), at: 0)
    }

    func handOver() throws { try run("perdure upgrade \(name)") }

    func restart() throws { try run("systemctl restart \(unit)") }

    func stop() throws { try run("systemctl stop \(unit)") }

    private func run(_ command: String) throws {
        let status = try shell.run(command)
        if status == 0 { return }
        let file = system.hostPath(SystemShell.outputFile)
        let output = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        throw CommandFailure(description: "'\(command)' exited with \(status).\n\(output)")
    }

    /// All handovers of this guest up to now, oldest first.
    func handovers() async throws -> [Handover] {
        try await system.journal("MESSAGE_ID=\(Self.handoverDone)", "PERDURE_GUEST=\(name)").map { entry in
            guard let pause = entry["PERDURE_PAUSE_USEC"].flatMap({ Double($0) }) else {
                throw CommandFailure(description: "The journal has a handover without PERDURE_PAUSE_USEC.")
            }
            var steps: [String: Double] = [:]
            for (field, value) in entry where field.hasPrefix("PERDURE_") && field.hasSuffix("_USEC") {
                let step = field.dropFirst("PERDURE_".count).dropLast("_USEC".count)
                steps[step.lowercased().replacing("_", with: "-")] = Double(value).map { $0 / 1000 }
            }
            steps["pause"] = nil
            return Handover(pause: pause / 1000, steps: steps)
        }
    }

    func measureSupervisor(idleFor seconds: Double) throws -> SupervisorFigures {
        let found = try system.processes(named: "perdure").filter { $0.arguments.dropFirst() == ["supervise", name] }
        guard let process = found.first, found.count == 1 else {
            throw CommandFailure(description: "\(found.count) supervisors run where there should be one.")
        }
        return try SupervisorFigures.measure(
            process.hostPID,
            cgroup: system.cgroup + process.cgroup,
            idleFor: seconds
        ) { try Int(console().verified().lastTick) }
    }
}
