import Linux
import Testing

@testable import Supervisor

/// What of a VM process's words goes into the journal, and when.
struct ProcessOutputTests {
    @Test func wholeLinesAreTakenOnce() throws {
        let output = try ProcessOutput()
        #expect(output.lines(from: 0, limit: 10) == ProcessOutput.Lines(end: 0))
        try output.file.write(Array("one\n\ntwo\nthr".utf8), at: 0)
        #expect(output.lines(from: 0, limit: 10) == ProcessOutput.Lines(lines: ["one", "two"], end: 9))
        #expect(output.lines(from: 9, limit: 10) == ProcessOutput.Lines(end: 9))
        try output.file.write(Array("ee\n".utf8), at: 12)
        #expect(output.lines(from: 9, limit: 10) == ProcessOutput.Lines(lines: ["three"], end: 15))
    }

    /// Nothing follows the last words of a process that has ended.
    @Test func restIsALine() throws {
        let output = try ProcessOutput()
        try output.file.write(Array("one\nlast words".utf8), at: 0)
        #expect(output.lines(from: 4, limit: 10, isFinal: true) == ProcessOutput.Lines(lines: ["last words"], end: 14))
    }

    @Test func floodIsTakenInParts() throws {
        let output = try ProcessOutput()
        try output.file.write(Array("a\nb\nc\n".utf8), at: 0)
        #expect(output.lines(from: 0, limit: 2) == ProcessOutput.Lines(lines: ["a", "b"], end: 4))
        #expect(output.lines(from: 4, limit: 2) == ProcessOutput.Lines(lines: ["c"], end: 6))
    }

    /// A file that is full ends in the middle of a line that will never be whole.
    @Test func fullFile() throws {
        let output = try ProcessOutput()
        let size = ProcessOutput.size
        try output.file.write([UInt8](repeating: 0x78, count: size - 2) + [0x0A, 0x79], at: 0)
        let said = output.lines(from: 0, limit: 10)
        #expect(said.lines.map(\.count) == [501, 1])
        #expect(said.end == size)
    }

    /// Offsets come from the ledger.
    @Test(arguments: [-1, .min, ProcessOutput.size, .max])
    func wildOffsets(offset: Int) throws {
        let output = try ProcessOutput()
        try output.file.write(Array("one\n".utf8), at: 0)
        let said = output.lines(from: offset, limit: 10)
        #expect((0...ProcessOutput.size).contains(said.end))
        #expect(said.lines == (offset < 0 ? ["one"] : []))
    }

    @Test func wordsCannotSteerATerminal() throws {
        let output = try ProcessOutput()
        try output.file.write(Array("\u{1B}[2Jx\r\n\u{FF}\n".utf8), at: 0)
        #expect(output.lines(from: 0, limit: 10).lines.first == "\u{FFFD}[2Jx ")
    }
}
