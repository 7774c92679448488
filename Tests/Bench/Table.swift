import Foundation

/// The figures as people read them.
enum Table {
    /// Steps while the guest is paused, in their order.
    private static let pausedSteps = [
        "stop-guest", "save-state", "record-loading", "load-state", "record-commit", "continue-guest",
    ]

    static func text(of result: ConfigurationFigures) -> String {
        let (perdure, floor, quiet) = (result.perdure, result.floor, result.quiet)
        var lines = [
            "\(result.configuration.title), \(perdure.pause.values.count) handovers each; in ms",
            row("", ["median", "p99", "max"]),
        ]
        lines += comparison("pause", perdure.pause, floor.pause)
        lines += comparison("largest gap of the heartbeat", perdure.largestGap, floor.largestGap)
        lines.append(row("  without handovers", quiet.largestGap))
        lines.append(row("every gap without handovers", quiet.gaps))
        lines += comparison("whole handover", perdure.wall, floor.wall)
        lines.append(row("steps in the pause", ["Perdure", "p99", "floor", "p99"]))
        for step in pausedSteps {
            let columns = [perdure.steps[step], floor.steps[step]].flatMap { samples in
                [samples.map(\.median), samples.map(\.p99)].map { $0.map(number) ?? "-" }
            }
            lines.append(row("  \(step)", columns))
        }
        let others = perdure.steps.filter { !pausedSteps.contains($0.key) }.sorted { $0.value.median > $1.value.median }
        lines.append(row("Perdure's other steps", ["median", "p99", "max"]))
        lines += others.map { row("  \($0.key)", $0.value) }
        return lines.joined(separator: "\n") + "\n"
    }

    static func text(of restart: RestartFigures) -> String {
        [
            row("systemctl restart, \(restart.wall.values.count) times; in ms", ["median", "p99", "max"]),
            row("  whole", restart.wall),
            row("  pause", restart.pause),
        ].joined(separator: "\n") + "\n"
    }

    static func text(of supervisor: SupervisorFigures) -> String {
        let idle = supervisor.idle
        return """
            supervisor: VmRSS \(supervisor.residentKiB) KiB, RssAnon \(supervisor.anonymousKiB) KiB, \
            \(supervisor.threads) threads
              idle for \(number(idle.seconds)) s: \(number(idle.cpuMilliseconds)) ms of CPU time, \
            \(idle.voluntarySwitches) voluntary context switches, \(idle.consoleLines) console lines passed through

            """
    }

    private static func comparison(_ name: String, _ perdure: Samples, _ floor: Samples) -> [String] {
        let ratios = zip(columns(perdure), columns(floor)).map { String(format: "%.2f", $0 / $1) }
        return [row("\(name), Perdure", perdure), row("  floor", floor), row("  ratio", ratios)]
    }

    private static func columns(_ samples: Samples) -> [Double] { [samples.median, samples.p99, samples.maximum] }

    private static func row(_ name: String, _ samples: Samples) -> String { row(name, columns(samples).map(number)) }

    private static func row(_ name: String, _ columns: [String]) -> String {
        columns.reduce(name.padding(toLength: 46, withPad: " ", startingAt: 0)) { line, column in
            line + String(repeating: " ", count: max(1, 10 - column.count)) + column
        }
    }

    private static func number(_ value: Double) -> String { String(format: "%.2f", value) }
}
