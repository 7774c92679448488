/// Why a value cannot be used, as a sentence that quotes it.
struct ValueProblem: Error {
    var message: String

    init(_ message: String) {
        self.message = message
    }
}

/// Reads the values of keys. Each function throws a sentence for the administrator.
enum Values {
    static func boolean(_ text: String) throws(ValueProblem) -> Bool {
        switch text.lowercased() {
        case "1", "yes", "y", "true", "t", "on": return true
        case "0", "no", "n", "false", "f", "off": return false
        default: throw ValueProblem("\(quoted(text)) is neither yes nor no")
        }
    }

    static func integer(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
        guard let number = digits(text[...]) else { throw ValueProblem("\(quoted(text)) is not a number") }
        guard let value = Int(exactly: number), range.contains(value) else {
            throw ValueProblem("\(quoted(text)) is out of range; use \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// In bytes. A number without a suffix counts bytes, too.
    static func size(_ text: String, in range: ClosedRange<UInt64>) throws(ValueProblem) -> UInt64 {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        let unit = text.last.flatMap { units[$0] }
        guard let number = digits(unit == nil ? text[...] : text.dropLast()) else {
            throw ValueProblem("\(quoted(text)) is not a size; use a number with K, M, G or T")
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflow, range.contains(value) else {
            let bytes = unit == nil ? "counts bytes and " : ""
            throw ValueProblem(
                "\(quoted(text)) \(bytes)is out of range; use \(sizeText(range.lowerBound)) to \(sizeText(range.upperBound))"
            )
        }
        return value
    }

    static func diskBus(_ text: String) throws(ValueProblem) -> DiskBus {
        if text == "nvme" {
            throw ValueProblem(
                "'nvme' can't be used: QEMU 7.2 and 10.0 have no way to hand an NVMe disk over; use virtio-blk or virtio-scsi"
            )
        }
        return try word(text, as: DiskBus.self)
    }

    /// As systemd has it: `5s`, `1min 30s`, `500ms`; a number without a unit counts seconds.
    ///
    /// - Parameter limits: As range and in words.
    static func timeSpan(
        _ text: String,
        in range: ClosedRange<Duration>,
        _ limits: String
    ) throws(ValueProblem) -> Duration {
        let problem = ValueProblem("\(quoted(text)) is not a time span; write it as in '500ms', '5s' or '1min 30s'")
        var rest = Substring(text)
        var total: UInt64 = 0
        repeat {
            guard let part = timePart(&rest) else { throw problem }
            // Saturates: whatever overflows is out of every range.
            let (sum, overflow) = total.addingReportingOverflow(part)
            total = overflow ? .max : sum
        } while !rest.isEmpty
        let value = Duration.microseconds(Int64(clamping: total))
        guard range.contains(value) else { throw ValueProblem("\(quoted(text)) is out of range; use \(limits)") }
        return value
    }

    /// Takes a number and its unit off the front; the result is in microseconds.
    private static func timePart(_ rest: inout Substring) -> UInt64? {
        let number = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(number.count)
        var fraction: Substring = ""
        if rest.first == "." {
            fraction = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(1 + fraction.count)
            if fraction.isEmpty { return nil }
        }
        guard let whole = digits(number) else { return nil }
        rest = rest.drop { $0 == " " || $0 == "\t" }
        let unit = rest.prefix { $0.isLetter }
        rest = rest.dropFirst(unit.count).drop { $0 == " " || $0 == "\t" }
        guard let microseconds = timeUnits[String(unit)] else { return nil }
        var (value, overflow) = whole.multipliedReportingOverflow(by: microseconds)
        var scale = microseconds
        for digit in fraction.compactMap(\.wholeNumberValue) {
            scale /= 10
            let sum = value.addingReportingOverflow(scale * UInt64(digit))
            (value, overflow) = (sum.partialValue, overflow || sum.overflow)
        }
        return overflow ? .max : value
    }

    private static let timeUnits: [String: UInt64] = {
        let spellings: [(UInt64, [String])] = [
            (1, ["us", "usec", "µs", "μs"]),
            (1_000, ["ms", "msec"]),
            (1_000_000, ["", "s", "sec", "second", "seconds"]),
            (60_000_000, ["m", "min", "minute", "minutes"]),
            (3_600_000_000, ["h", "hr", "hour", "hours"]),
            (86_400_000_000, ["d", "day", "days"]),
            (604_800_000_000, ["w", "week", "weeks"]),
        ]
        return Dictionary(uniqueKeysWithValues: spellings.flatMap { unit, names in names.map { ($0, unit) } })
    }()

    static func absolutePath(_ text: String) throws(ValueProblem) -> String {
        guard text.hasPrefix("/") else {
            throw ValueProblem("\(quoted(text)) is not an absolute path; begin it with '/'")
        }
        guard text.utf8.count < 4096 else {
            throw ValueProblem("the path \(quoted(text)) is longer than the 4095 bytes that Linux allows")
        }
        return text
    }

    static func word<Word: RawRepresentable & CaseIterable>(
        _ text: String,
        as _: Word.Type
    ) throws(ValueProblem) -> Word where Word.RawValue == String {
        if let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map { "'\($0.rawValue)'" }
        let allowed =
            words.count > 1 ? "\(words.dropLast().joined(separator: ", ")) or \(words[words.count - 1])" : words[0]
        throw ValueProblem("\(quoted(text)) is not supported; use \(allowed)")
    }

    static func machine(_ text: String) throws(ValueProblem) -> String {
        try plain(text, "a machine type", upTo: 64, letters: "a machine type consists of a-z, 0-9, '.' and '-'") {
            ("a"..."z").contains($0) || ("0"..."9").contains($0) || $0 == "." || $0 == "-"
        }
    }

    static func cpuModel(_ text: String) throws(ValueProblem) -> String {
        try plain(text, "a CPU model", upTo: 64, letters: "a CPU model consists of letters, digits, '_', '.' and '-'") {
            isWordCharacter($0)
        }
    }

    static func serial(_ text: String) throws(ValueProblem) -> String {
        try plain(text, "a serial number", upTo: 20, letters: "use letters, digits, '_', '.' and '-'") {
            isWordCharacter($0)
        }
    }

    static func uuid(_ text: String) throws(ValueProblem) -> String {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        let isWellFormed =
            groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.joined().unicodeScalars.allSatisfy { $0.isASCII && $0.properties.isASCIIHexDigit }
        guard isWellFormed else {
            throw ValueProblem("\(quoted(text)) is not a UUID; write it as in '6ba7b810-9dad-11d1-80b4-00c04fd430c8'")
        }
        return text.lowercased()
    }

    static func hostname(_ text: String) throws(ValueProblem) -> String {
        let name = try plain(text, "a host name", upTo: 63, letters: "use lower-case letters, digits and '-'") {
            ("a"..."z").contains($0) || ("0"..."9").contains($0) || $0 == "-"
        }
        guard !name.hasPrefix("-"), !name.hasSuffix("-") else {
            throw ValueProblem("\(quoted(text)) is not a host name; it must not begin or end with '-'")
        }
        return name
    }

    static func instanceID(_ text: String) throws(ValueProblem) -> String {
        try plain(text, "an instance ID", upTo: 64, letters: "use letters, digits, '_', '.' and '-'") {
            isWordCharacter($0)
        }
    }

    static func credentialName(_ text: String) throws(ValueProblem) -> String {
        try plain(text, "the name of a credential", upTo: 128, letters: "use letters, digits, '_', '.' and '-'") {
            isWordCharacter($0)
        }
    }

    static func kernelCommandLine(_ text: String) throws(ValueProblem) -> String {
        guard text.utf8.count <= 2047 else {
            throw ValueProblem("this has \(text.utf8.count) bytes, but Linux takes a command line of at most 2047")
        }
        return text
    }

    static func description(_ text: String) throws(ValueProblem) -> String {
        guard text.utf8.count <= 256 else {
            throw ValueProblem("this has \(text.utf8.count) bytes, but a description may have at most 256")
        }
        return text
    }

    private static func plain(
        _ text: String,
        _ what: String,
        upTo length: Int,
        letters: String,
        _ isAllowed: (Unicode.Scalar) -> Bool
    ) throws(ValueProblem) -> String {
        guard text.unicodeScalars.allSatisfy(isAllowed) else {
            throw ValueProblem("\(quoted(text)) is not \(what); \(letters)")
        }
        guard text.unicodeScalars.count <= length else {
            throw ValueProblem("\(quoted(text)) is too long for \(what); use at most \(length) characters")
        }
        return text
    }

    private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII
            && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "_.-".unicodeScalars.contains(scalar))
    }

    /// A number of ASCII digits alone, at most what fits.
    private static func digits(_ text: Substring) -> UInt64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return UInt64(text) ?? .max
    }
}

extension GuestDefinition {
    /// Bytes, of a size as definitions have it; nil where it is none.
    public static func size(_ text: String) -> UInt64? { try? Values.size(text, in: 0...UInt64.max) }
}

/// A size as a definition has it, with the largest suffix that leaves no rest.
func sizeText(_ bytes: UInt64) -> String {
    let units: [(UInt64, String)] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")]
    guard bytes > 0, let (unit, suffix) = units.first(where: { bytes.isMultiple(of: $0.0) }) else { return "\(bytes)" }
    return "\(bytes / unit)\(suffix)"
}
