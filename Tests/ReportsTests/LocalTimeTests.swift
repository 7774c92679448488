import Glibc
import Testing

@testable import Reports

/// In processes of their own, since the time zone is a process's.
struct LocalTimeTests {
    @Test func timesAreReadAndWritten() async {
        await #expect(processExitsWith: .success) {
            setenv("TZ", "Europe/Berlin", 1)
            tzset()
            // Summer time ends at 03:00 on 25 October 2026.
            let now: UInt64 = 1_792_926_000_500_000
            precondition(LocalTime.text(now) == "2026-10-25 12:00:00", LocalTime.text(now))
            for (text, expected) in [
                ("now", now), ("2h ago", now - 7_200_000_000), ("-90", now - 90_000_000),
                ("1min 30s ago", now - 90_000_000),
                ("today", 1_792_879_200_000_000), ("yesterday", 1_792_792_800_000_000),
                ("2026-10-25", 1_792_879_200_000_000), ("2026-10-25 12:00", 1_792_926_000_000_000),
                (" 11:59:59 ", 1_792_925_999_000_000), ("11:00", 1_792_922_400_000_000),
            ] {
                let read = LocalTime.parse(text, now: now)
                precondition(read == expected, "\(text): \(String(describing: read)) instead of \(expected)")
            }
        }
    }

    @Test(arguments: ["", "soon", "2026-13-01", "12:00:00x", "ago", "-", "2026-10-25T12:00", "99:99", "- 1 parsec"])
    func otherTextsAreNone(text: String) { #expect(LocalTime.parse(text, now: 1_792_929_600_000_000) == nil) }
}
