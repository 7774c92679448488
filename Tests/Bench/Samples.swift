/// Measured values of one kind, all in milliseconds.
struct Samples: Encodable {
    let values: [Double]

    init(_ values: some Sequence<Double>) { self.values = values.sorted() }

    var median: Double { percentile(50) }
    var p99: Double { percentile(99) }
    var maximum: Double { values.last ?? .nan }

    /// The smallest value that at least that share of all values does not exceed.
    func percentile(_ percent: Int) -> Double {
        if values.isEmpty { return .nan }
        return values[max(0, (values.count * percent + 99) / 100 - 1)]
    }

    private enum CodingKeys: String, CodingKey {
        case count, median, p99, maximum, values
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(values.count, forKey: .count)
        if values.isEmpty { return }
        try container.encode(median, forKey: .median)
        try container.encode(p99, forKey: .p99)
        try container.encode(maximum, forKey: .maximum)
        try container.encode(values, forKey: .values)
    }
}
