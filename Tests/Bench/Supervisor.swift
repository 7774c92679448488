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
        /// Lines that the guest wrote to its console, which the supervisor takes off the socket.
        let consoleLines: Int
    }

    /// - Parameters:
    ///   - consoleLines: how many lines the guest has written up to now.
    static func measure(_ pid: Int32, idleFor seconds: Double, consoleLines: () throws -> Int) throws -> Self {
        let before = try Activity(pid)
        let linesBefore = try consoleLines()
        Thread.sleep(forTimeInterval: seconds)
        let after = try Activity(pid)
        let status = try fields("/proc/\(pid)/status")
        return SupervisorFigures(
            residentKiB: status["VmRSS"] ?? 0,
            anonymousKiB: status["RssAnon"] ?? 0,
            threads: status["Threads"] ?? 0,
            idle: Idle(
                seconds: seconds,
                cpuMilliseconds: after.cpuMilliseconds - before.cpuMilliseconds,
                voluntarySwitches: after.voluntarySwitches - before.voluntarySwitches,
                consoleLines: try consoleLines() - linesBefore
            )
        )
    }

    /// Sums over all threads of a process.
    private struct Activity {
        var cpuMilliseconds = 0.0
        var voluntarySwitches = 0

        init(_ pid: Int32) throws {
            let tasks = "/proc/\(pid)/task"
            for task in try FileManager.default.contentsOfDirectory(atPath: tasks) {
                // Nanoseconds on a CPU; utime and stime have the resolution of a timer tick only.
                let times = try String(contentsOfFile: "\(tasks)/\(task)/schedstat", encoding: .utf8)
                cpuMilliseconds += Double(times.split(separator: " ").first ?? "").map { $0 / 1e6 } ?? 0
                voluntarySwitches += try fields("\(tasks)/\(task)/status")["voluntary_ctxt_switches"] ?? 0
            }
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
