/// A line after continuation lines were joined to it, with no white space at its ends.
struct LogicalLine {
    private(set) var scalars: [Unicode.Scalar] = []
    /// Holds bytes that are reported already, so that its text cannot be trusted.
    private(set) var isDamaged = false
    /// Where the pieces begin in `scalars`, and where they are in the file.
    private var pieces: [(offset: Int, place: Place)] = []

    fileprivate mutating func append(_ piece: some Collection<Unicode.Scalar>, from place: Place, isDamaged: Bool) {
        pieces.append((scalars.count, place))
        scalars += piece
        self.isDamaged = self.isDamaged || isDamaged
    }

    fileprivate mutating func trimEnd() {
        while let last = scalars.last, last.isBlank { scalars.removeLast() }
    }

    /// The place in the file of a scalar of this line.
    func place(at offset: Int) -> Place {
        // An offset at the joint belongs to the later piece.
        let piece = pieces.last { $0.offset <= offset } ?? pieces[0]
        var place = piece.place
        place.column += offset - piece.offset
        return place
    }
}

/// Splits files into lines, the way systemd does: `#` and `;` begin a comment line, also between continuation lines,
/// and a `\` at the end joins the next line with a space.
enum LogicalLines {
    static func read(_ bytes: [UInt8], path: String, into problems: inout Problems) -> [LogicalLine] {
        var lines: [[Unicode.Scalar]] = []
        var faults: [[(column: Int, message: String)]] = []
        for line in withoutByteOrderMark(bytes).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let (scalars, found) = decode(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
            lines.append(scalars)
            faults.append(found)
        }
        let file = problems.add(source: SourceFile(path: path, lines: lines))
        for (index, found) in faults.enumerated() {
            for fault in found {
                problems.add(fault.message, at: Place(file: file, line: index + 1, column: fault.column))
            }
        }
        return join(lines, damaged: faults.map { !$0.isEmpty }, file: file, into: &problems)
    }

    private static func withoutByteOrderMark(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes.dropFirst(3) : bytes[...]
    }

    /// Reports the first fault of each kind in a line.
    private static func decode(_ line: ArraySlice<UInt8>) -> ([Unicode.Scalar], [(column: Int, message: String)]) {
        var scalars: [Unicode.Scalar] = []
        var badUTF8: Int?
        var control: (column: Int, scalar: Unicode.Scalar)?
        var decoder = UTF8()
        var bytes = line.makeIterator()
        decoding: while true {
            switch decoder.decode(&bytes) {
            case .scalarValue(let scalar):
                scalars.append(scalar)
                if scalar.properties.generalCategory == .control, scalar != "\t", control == nil {
                    control = (scalars.count, scalar)
                }
            case .error:
                scalars.append("\u{FFFD}")
                badUTF8 = badUTF8 ?? scalars.count
            case .emptyInput:
                break decoding
            }
        }
        var faults: [(column: Int, message: String)] = []
        if let badUTF8 { faults.append((badUTF8, "this is not UTF-8; save the file in that encoding")) }
        if let control {
            let digits = String(control.scalar.value, radix: 16, uppercase: true)
            let code = String(repeating: "0", count: 4 - digits.count) + digits
            faults.append((control.column, "the control character U+\(code) is not allowed here; remove it"))
        }
        return (scalars, faults)
    }

    private static func join(
        _ lines: [[Unicode.Scalar]],
        damaged: [Bool],
        file: Int,
        into problems: inout Problems
    ) -> [LogicalLine] {
        var joined: [LogicalLine] = []
        var current: LogicalLine?
        var lastBackslash = Place(file: file, line: 0, column: 0)
        for (index, line) in lines.enumerated() {
            let text = line.drop { $0.isBlank }
            if text.first == "#" || text.first == ";" || (text.isEmpty && current == nil) { continue }
            var logical = current ?? LogicalLine()
            // A second reference would have each append copy the line.
            current = nil
            let start = Place(file: file, line: index + 1, column: text.startIndex + 1)
            let continues = endsInBackslash(text)
            logical.append(continues ? text.dropLast() + [" "] : text, from: start, isDamaged: damaged[index])
            if continues {
                lastBackslash = Place(file: file, line: index + 1, column: line.count)
                current = logical
                continue
            }
            warnOfBlankAfterBackslash(text, start, &problems)
            logical.trimEnd()
            if !logical.scalars.isEmpty { joined.append(logical) }
        }
        if var last = current {
            problems.add("the '\\' joins the next line to this one, but the file ends here", at: lastBackslash)
            last.trimEnd()
            if !last.scalars.isEmpty { joined.append(last) }
        }
        return joined
    }

    /// Two backslashes are one that is meant as such.
    private static func endsInBackslash(_ text: ArraySlice<Unicode.Scalar>) -> Bool {
        !text.reversed().prefix { $0 == "\\" }.count.isMultiple(of: 2)
    }

    private static func warnOfBlankAfterBackslash(
        _ text: ArraySlice<Unicode.Scalar>,
        _ start: Place,
        _ problems: inout Problems
    ) {
        let trimmed = text[..<(text.lastIndex { !$0.isBlank }.map { $0 + 1 } ?? text.startIndex)]
        guard trimmed.count < text.count, endsInBackslash(trimmed) else { return }
        var place = start
        place.column += trimmed.count - 1
        problems.add(
            "the next line is not joined to this one, because there is white space after the '\\'",
            at: place,
            .warning
        )
    }
}

extension Unicode.Scalar {
    var isBlank: Bool { self == " " || self == "\t" }
}
