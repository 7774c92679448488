import Foundation
import SystemTestSupport

/// Stops a guest's supervisor at a point, and does harm there.
struct FaultInjector {
    private static let haltFile = "/run/perdure-halt"

    let system: BootedSystem
    let guest: String

    /// Lets every supervisor that is started from now on be stopped, and has systemd notice soon that one hangs.
    static func install(on system: BootedSystem) async throws {
        try await system.write(
            "/run/systemd/system/perdure@.service.d/50-faults.conf",
            "[Service]\nEnvironment=PERDURE_HALT_FILE=\(haltFile)\nTimeoutStopSec=8\nTimeoutStartSec=8\n"
        )
        try await system.run(["systemctl", "daemon-reload"])
    }

    /// The supervisor will stop at `point`, once.
    func arm(_ point: String) throws {
        let path = system.hostPath(Self.haltFile)
        try Data("\(point)\n".utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    func disarm() { unlink(system.hostPath(Self.haltFile)) }

    /// Lets a stopped supervisor go on, to the next point if one has been armed.
    func release(_ supervisor: Int32) throws {
        if isReached { disarm() }
        try send(SIGCONT, to: supervisor)
    }

    /// The supervisor that has come to the point has emptied the file.
    private var isReached: Bool {
        let attributes = try? FileManager.default.attributesOfItem(atPath: system.hostPath(Self.haltFile))
        return attributes?[.size] as? Int == 0
    }

    /// The stopped supervisor, by its number on this machine. It has really come to the point that it was to stop at.
    func waitUntilHalted(at point: String) async throws -> Int32 {
        var supervisor: Int32?
        try await system.waitUntil("the supervisor to stop itself at '\(point)'", deadline: .seconds(60)) {
            guard isReached else { return false }
            supervisor = try supervisors().first { try isStopped($0) }
            return supervisor != nil
        }
        return supervisor ?? 0
    }

    func supervisors() throws -> [Int32] {
        try system.processes().filter { $0.arguments.dropFirst() == ["supervise", guest] }.map(\.hostPID)
    }

    private func isStopped(_ pid: Int32) throws -> Bool {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        return status.contains("\nState:\tT")
    }

    /// The guest's VM processes, by generation.
    func vmProcesses() throws -> [Int: Int32] {
        let prefix = "perdure-\(guest)-g"
        let pairs = try system.processes().compactMap { process -> (Int, Int32)? in
            let scope = process.cgroup.split(separator: "/").last ?? ""
            guard process.arguments.contains("guest=\(guest),process=qemu-\(guest)"), scope.hasPrefix(prefix),
                let generation = Int(scope.dropFirst(prefix.count).dropLast(".scope".count))
            else { return nil }
            return (generation, process.hostPID)
        }
        return Dictionary(pairs) { first, _ in first }
    }

    /// Kills a process, and returns when nothing of it runs any more.
    func end(_ pid: Int32) async throws {
        try send(SIGKILL, to: pid)
        try await system.waitUntil("process \(pid) to end") {
            let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            let threads = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").count
            return status?.contains("\nState:\tZ") != false && threads ?? 0 <= 1
        }
    }

    func send(_ signal: Int32, to pid: Int32) throws {
        guard kill(pid, signal) == 0 else {
            throw CommandFailure(description: "Process \(pid) can't be sent signal \(signal): it has ended.")
        }
    }
}
