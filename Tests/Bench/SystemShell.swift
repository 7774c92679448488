import Foundation
import SystemTestSupport

/// A shell inside the booted system that is kept open, so that a command can be timed without the way in.
final class SystemShell {
    private let process: Process
    private let input: FileHandle
    private let output: FileHandle

    init(in system: BootedSystem) throws {
        let script = #"while read -r line; do sh -c "$line" >/run/perdure-bench-output 2>&1 </dev/null; echo $?; done"#
        process = Process(running: system.entering(["sh", "-c", script]))
        let (toShell, fromShell) = (Pipe(), Pipe())
        process.standardInput = toShell
        process.standardOutput = fromShell
        input = toShell.fileHandleForWriting
        output = fromShell.fileHandleForReading
        try process.run()
    }

    deinit { try? input.close() }

    /// Runs a command, and returns its exit status. What it prints is in `outputFile`.
    func run(_ command: String) throws -> Int {
        try input.write(contentsOf: Data("\(command)\n".utf8))
        // A status is written at once.
        let text = String(decoding: output.availableData, as: UTF8.self)
        guard let status = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw CommandFailure(description: "The booted system ended while it ran '\(command)'.")
        }
        return status
    }

    static let outputFile = "/run/perdure-bench-output"
}
