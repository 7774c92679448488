import Foundation

/// Whether a target is met.
struct Verdict: Encodable {
    let what: String
    let value: Double
    let unit: String
    let limit: Double
    let isMet: Bool

    private init(_ what: String, _ value: Double, _ unit: String, atMost limit: Double) {
        self.what = what
        self.value = value
        self.unit = unit
        self.limit = limit
        isMet = value <= limit
    }

    var text: String {
        let number = String(format: "%.2f", value)
        let verdict = isMet ? "met" : "not met"
        return "\(what): \(number)\(unit), at most \(String(format: "%g", limit))\(unit): \(verdict)"
    }

    static func all(of figures: Figures) -> [Verdict] {
        var verdicts: [Verdict] = []
        for result in figures.configurations {
            let title = result.configuration.title
            let (perdure, floor) = (result.perdure.pause, result.floor.pause)
            verdicts.append(
                Verdict("\(title): median pause, Perdure/floor", perdure.median / floor.median, "", atMost: 1.25)
            )
            if result.configuration.writes {
                verdicts.append(Verdict("\(title): median pause", perdure.median, " ms", atMost: 15))
            } else {
                verdicts.append(
                    Verdict("\(title): p99 of the pause, Perdure/floor", perdure.p99 / floor.p99, "", atMost: 2)
                )
            }
        }
        let idle = figures.configurations.filter { !$0.configuration.writes }
        if let small = idle.first, let large = idle.last, idle.count > 1 {
            // What a larger guest costs QEMU itself is in the floor as well.
            let growth = large.perdure.pause.median / small.perdure.pause.median
            let titles = "\(large.configuration.memoryMiB) MiB/\(small.configuration.memoryMiB) MiB"
            verdicts.append(Verdict("Growth of the median pause with RAM, \(titles)", growth, "", atMost: 1.25))
        }
        if let restart = figures.restart {
            verdicts.append(Verdict("Whole 'systemctl restart', p99", restart.wall.p99, " ms", atMost: 1000))
        }
        if let supervisor = figures.supervisor {
            let mebibytes = Double(supervisor.residentKiB) / 1024
            verdicts.append(Verdict("Resident memory of the supervisor", mebibytes, " MiB", atMost: 12))
        }
        return verdicts
    }
}
