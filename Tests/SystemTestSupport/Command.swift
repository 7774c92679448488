import Foundation

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

        let process = Process(running: arguments)
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try await process.runToEnd()
        return Output(
            status: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus,
            stdout: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
            stderr: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self)
        )
    }
}

extension Process {
    /// A process that will run a program found on the PATH. The threads of Dispatch block signals, and a child would
    /// inherit that and could not be told to end; `env` undoes it.
    package convenience init(running arguments: [String]) {
        self.init()
        executableURL = URL(fileURLWithPath: "/usr/bin/env")
        self.arguments = ["--default-signal"] + arguments
    }

    fileprivate func runToEnd() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            terminationHandler = { _ in continuation.resume() }
            do {
                try run()
            } catch {
                continuation.resume(throwing: error)
            }
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
