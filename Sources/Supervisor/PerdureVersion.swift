public enum PerdureVersion {
    public static let current = "0.1.0"
}
