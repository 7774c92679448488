/// What one handover took, in milliseconds.
struct Handover {
    /// From QEMU's event STOP to the next one's RESUME.
    let pause: Double
    /// By the names of Perdure's steps.
    let steps: [String: Double]
}

/// What the handovers of one guest took.
struct HandoverFigures: Encodable {
    let pause: Samples
    /// The longest time between two beats of the guest's heart around each handover.
    let largestGap: Samples
    /// From the request to its end.
    let wall: Samples
    let steps: [String: Samples]

    init(_ handovers: [Handover], largestGaps: [Double], walls: [Double]) {
        pause = Samples(handovers.map(\.pause))
        largestGap = Samples(largestGaps)
        wall = Samples(walls)
        let names = Set(handovers.flatMap(\.steps.keys))
        steps = Dictionary(
            uniqueKeysWithValues: names.map { name in (name, Samples(handovers.compactMap { $0.steps[name] })) }
        )
    }
}

/// The heartbeat of a guest that is left alone.
struct QuietFigures: Encodable {
    let gaps: Samples
    /// The largest gap of each window as long as a handover with all its preparations takes.
    let largestGap: Samples

    init(windows: [[Double]]) {
        gaps = Samples(windows.joined())
        largestGap = Samples(windows.compactMap { $0.max() })
    }
}

struct ConfigurationFigures: Encodable {
    let configuration: Configuration
    let perdure: HandoverFigures
    let floor: HandoverFigures
    let quiet: QuietFigures
}

struct RestartFigures: Encodable {
    /// From `systemctl restart` to its end.
    let wall: Samples
    let pause: Samples
}

struct Figures: Encodable {
    var configurations: [ConfigurationFigures] = []
    var restart: RestartFigures?
    var supervisor: SupervisorFigures?
    var verdicts: [Verdict] { Verdict.all(of: self) }

    private enum CodingKeys: String, CodingKey {
        case configurations, restart, supervisor, verdicts
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(configurations, forKey: .configurations)
        try container.encode(restart, forKey: .restart)
        try container.encode(supervisor, forKey: .supervisor)
        try container.encode(verdicts, forKey: .verdicts)
    }
}
