import Foundation
import SystemPackage
import SystemTestSupport

/// A shell inside the booted system that is kept open, so that a command can be timed without the way in.
final class SystemShell {
    private let input: FileHandle
    private let output: FileHandle

    init(in system: BootedSystem) throws {
        let script = #"while read -r line; do sh -c "$line" >/run/perdure-bench-output 2>&1 </dev/null; echo $?; done"#
        let command = system.entering(["sh", "-c", script])
        let toShell = try FileDescriptor.pipe()
        let fromShell = try FileDescriptor.pipe()
        input = FileHandle(fileDescriptor: toShell.writeEnd.rawValue, closeOnDealloc: true)
        output = FileHandle(fileDescriptor: fromShell.readEnd.rawValue, closeOnDealloc: true)
        let error = FileDescriptor.standardError
        // The shell ends with `input`, and `output` with the shell.
        Task.detached {
            try await Command.spawn(
                command,
                input: toShell.readEnd,
                output: fromShell.writeEnd,
                error: error.duplicate()
            )
        }
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
