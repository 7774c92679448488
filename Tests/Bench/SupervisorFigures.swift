import Foundation
import Glibc
import SystemTestSupport

/// What a supervisor takes from the machine.
struct SupervisorFigures: Encodable {
    let residentKiB: Int
    let anonymousKiB: Int
    let threads: Int
    let idle: Idle

    /// What it does while its guest runs and nobody asks anything of it.
    struct Idle: Encodable {
        let seconds: Double
        let cpuMilliseconds: Double
        let voluntarySwitches: Int
        /// Lines that the guest wrote to its console.
        let consoleLines: Int
    }

    /// - Parameters:
    ///   - cgroup: the supervisor's, as a path on this machine.
    ///   - consoleLines: how many lines the guest has written up to now.
    static func measure(
        _ pid: Int32,
        cgroup: String,
        idleFor seconds: Double,
        consoleLines: () throws -> Int
    ) throws -> Self {
        let before = try Activity(pid, cgroup: cgroup)
        let linesBefore = try consoleLines()
        Thread.sleep(forTimeInterval: seconds)
        let after = try Activity(pid, cgroup: cgroup)
        let status = try fields("/proc/\(pid)/status")
        return SupervisorFigures(
            residentKiB: status["VmRSS"] ?? 0,
            anonymousKiB: status["RssAnon"] ?? 0,
            threads: status["Threads"] ?? 0,
            idle: Idle(
                seconds: seconds,
                cpuMilliseconds: after.cpuMilliseconds - before.cpuMilliseconds,
                voluntarySwitches: after.switches(since: before),
                consoleLines: try consoleLines() - linesBefore
            )
        )
    }

    private struct Activity {
        let cpuMilliseconds: Double
        /// By thread.
        let voluntarySwitches: [String: Int]

        init(_ pid: Int32, cgroup: String) throws {
            // The supervisor is alone in it. Unlike /proc, it remembers what ended threads have used.
            cpuMilliseconds = try Double(fields("\(cgroup)/cpu.stat")["usage_usec"] ?? 0) / 1000
            let tasks = "/proc/\(pid)/task"
            let names = try FileManager.default.contentsOfDirectory(atPath: tasks)
            voluntarySwitches = try Dictionary(
                uniqueKeysWithValues: names.map { name in
                    (name, try fields("\(tasks)/\(name)/status")["voluntary_ctxt_switches"] ?? 0)
                }
            )
        }

        /// Threads that have ended in between are left out.
        func switches(since earlier: Activity) -> Int {
            voluntarySwitches.reduce(0) { $0 + $1.value - (earlier.voluntarySwitches[$1.key] ?? 0) }
        }
    }

    /// The numbers of a file of lines such as `VmRSS:     1234 kB`.
    private static func fields(_ path: String) throws -> [String: Int] {
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        return lines.reduce(into: [:]) { fields, line in
            let parts = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
            if parts.count > 1, let number = Int(parts[1]) { fields[String(parts[0])] = number }
        }
    }
}
