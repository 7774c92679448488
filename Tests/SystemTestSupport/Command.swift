import Foundation
import Subprocess
import SystemPackage

/// What a command left behind when it ended.
package struct Output: Sendable {
    /// The exit status, or 128 + N if signal N ended it.
    package let status: Int32
    package let stdout: String
    package let stderr: String
}

package struct CommandFailure: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

package enum Command {
    /// Runs a program to its end. Its output goes to files, so that what it leaves running in the background cannot
    /// keep this waiting.
    package static func run(_ arguments: [String], input: String = "") async throws -> Output {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("perdure-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let files = ["stdin", "stdout", "stderr"].map { directory.appendingPathComponent($0) }
        for file in files {
            try Data((file == files[0] ? input : "").utf8).write(to: file)
        }
        let status = try await spawn(
            arguments,
            input: FileDescriptor.open(files[0].path, .readOnly),
            output: FileDescriptor.open(files[1].path, .writeOnly),
            error: FileDescriptor.open(files[2].path, .writeOnly)
        )
        return Output(
            status: status,
            stdout: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
            stderr: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self)
        )
    }

    /// Runs a program found on the PATH to its end, and closes the descriptors given.
    /// - Returns: the exit status, or 128 + N if signal N ended it.
    package static func spawn(
        _ arguments: [String],
        input: FileDescriptor,
        output: FileDescriptor,
        error: FileDescriptor
    ) async throws -> Int32 {
        // A child inherits which signals this thread blocks, and could not be told to end; `env` undoes it.
        let result = try await Subprocess.run(
            .path("/usr/bin/env"),
            arguments: Arguments(["--default-signal"] + arguments),
            input: .fileDescriptor(input, closeAfterSpawningProcess: true),
            output: .fileDescriptor(output, closeAfterSpawningProcess: true),
            error: .fileDescriptor(error, closeAfterSpawningProcess: true)
        )
        return switch result.terminationStatus {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}

/// Runs `operation`, cancels it at the deadline and then throws an error that says what was waited for.
package func withDeadline<Result: Sendable>(
    _ deadline: Duration,
    for what: String,
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await Task.sleep(for: deadline)
            return nil
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() ?? nil else {
            throw CommandFailure(description: "Waited \(deadline) in vain for \(what).")
        }
        return result
    }
}
