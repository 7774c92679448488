import SystemTestSupport

/// How long a command takes in a system, from its start to its end.
struct Timing: CustomStringConvertible {
    /// In ascending order.
    let durations: [Duration]

    var least: Duration { durations[0] }
    var median: Duration { durations[durations.count / 2] }
    var description: String { "least \(least), median \(median)" }

    /// Whether it succeeds does not matter.
    /// - Parameter ofProcessor: only what the processor was busy with it, in milliseconds.
    static func of(
        _ command: [String],
        times: Int,
        on system: BootedSystem,
        ofProcessor: Bool = false
    ) async throws -> Timing {
        let once =
            ofProcessor
            ? #"{ TIMEFORMAT='%3U %3S'; time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print ($1 + $2) * 1000000 }'"#
            : #"begin=${EPOCHREALTIME/./}; "$@" >/dev/null 2>&1; echo $((${EPOCHREALTIME/./} - begin))"#
        let script = "for ((i = 0; i < \(times); i++)); do \(once); done"
        let output = try await system.run(["bash", "-c", script, "bash"] + command, deadline: .seconds(300)).stdout
        let durations = output.split(separator: "\n").compactMap { Int($0) }.map { Duration.microseconds($0) }.sorted()
        guard durations.count == times else {
            throw CommandFailure(description: "'\(command)' was not timed: \(output)")
        }
        return Timing(durations: durations)
    }
}
