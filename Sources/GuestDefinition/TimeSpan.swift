/// Time spans as definitions have them, for others who read what people write.
public enum TimeSpan {
    /// `5s`, `1min 30s`, `2h`; a number without a unit counts seconds. Nil for anything else, and for more than 100 years.
    public static func parse(_ text: String) -> Duration? {
        try? Values.timeSpan(text, in: .zero ... .seconds(100 * 366 * 86_400), "0 to 100 years")
    }
}
