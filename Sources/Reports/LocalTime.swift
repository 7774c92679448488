import Glibc
import GuestDefinition

/// Times as people write and read them, by the time zone of whoever runs the program.
public enum LocalTime {
    /// `2026-11-24 12:00:01`.
    /// - Parameter time: microseconds since the epoch.
    public static func text(_ time: UInt64) -> String {
        var seconds = time_t(clamping: time / 1_000_000)
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return "?" }
        let text = [UInt8](unsafeUninitializedCapacity: 64) { buffer, count in
            count = buffer.withMemoryRebound(to: CChar.self) {
                strftime($0.baseAddress!, $0.count, "%Y-%m-%d %H:%M:%S", &parts)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads `2026-11-24`, `2026-11-24 12:00`, `2026-11-24 12:00:01`, `12:00`, `today`, `yesterday`, `now`, `2h ago` and
    /// `-2h`. Nil for anything else.
    /// - Parameter now: microseconds since the epoch.
    /// - Returns: microseconds since the epoch.
    public static func parse(_ text: String, now: UInt64) -> UInt64? {
        let text = text.trimmed
        switch text {
        case "now": return now
        case "today": return midnight(now, daysBefore: 0)
        case "yesterday": return midnight(now, daysBefore: 1)
        default: break
        }
        if text.hasSuffix(" ago") { return before(now, String(text.dropLast(4))) }
        if text.hasPrefix("-") { return before(now, String(text.dropFirst())) }
        let words = text.split(separator: " ")
        guard (1...2).contains(words.count), var parts = split(now) else { return nil }
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (0, 0, 0)
        if words.count == 2 {
            guard setDate(&parts, words[0]), setTime(&parts, words[1]) else { return nil }
        } else {
            guard setDate(&parts, words[0]) || setTime(&parts, words[0]) else { return nil }
        }
        return join(&parts)
    }

    private static func before(_ now: UInt64, _ span: String) -> UInt64? {
        guard let span = TimeSpan.parse(span.trimmed) else { return nil }
        let microseconds = UInt64(span.components.seconds) * 1_000_000
        return now > microseconds ? now - microseconds : 0
    }

    private static func midnight(_ now: UInt64, daysBefore days: Int32) -> UInt64? {
        guard var parts = split(now) else { return nil }
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (0, 0, 0)
        parts.tm_mday -= days
        return join(&parts)
    }

    private static func setDate(_ parts: inout tm, _ text: Substring) -> Bool {
        let numbers = numbers(text, "-")
        guard numbers.count == 3, (1970...9999).contains(numbers[0]), (1...12).contains(numbers[1]),
            (1...31).contains(numbers[2])
        else { return false }
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        return true
    }

    private static func setTime(_ parts: inout tm, _ text: Substring) -> Bool {
        let numbers = numbers(text, ":")
        guard (2...3).contains(numbers.count), (0...23).contains(numbers[0]),
            numbers.dropFirst().allSatisfy({ (0...59).contains($0) })
        else { return false }
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[0], numbers[1], numbers.count == 3 ? numbers[2] : 0)
        return true
    }

    /// None where one of them is no number.
    private static func numbers(_ text: Substring, _ separator: Character) -> [Int32] {
        let words = text.split(separator: separator, omittingEmptySubsequences: false)
        let numbers = words.compactMap { $0.allSatisfy(\.isNumber) ? Int32($0) : nil }
        return numbers.count == words.count ? numbers : []
    }

    private static func split(_ time: UInt64) -> tm? {
        var seconds = time_t(clamping: time / 1_000_000)
        var parts = tm()
        return localtime_r(&seconds, &parts) == nil ? nil : parts
    }

    private static func join(_ parts: inout tm) -> UInt64? {
        // Whether summer time applies is for the time zone to say.
        parts.tm_isdst = -1
        let seconds = mktime(&parts)
        return seconds < 0 ? nil : UInt64(seconds) * 1_000_000
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
