/// Numbers over time as one line of characters, from nothing to the greatest of them.
public enum Sparkline {
    private static let blocks: [Character] = Array("▁▂▃▄▅▆▇█")
    private static let plain: [Character] = Array("_.:-=+*#")

    public static func text(_ values: [Int], style: OutputStyle) -> String {
        let levels = style.isRich ? blocks : plain
        guard let most = values.max(), most > 0 else { return String(repeating: levels[0], count: values.count) }
        return String(
            values.map { value in
                // A double: the numbers come from the journal, where anything may stand.
                let level = Int(Double(max(0, value)) / Double(most) * Double(levels.count - 1) + 0.5)
                return levels[min(level, levels.count - 1)]
            }
        )
    }
}
