import Glibc
import Linux

/// A program that is run for what it says.
public enum ProgramRun {
    public struct Result: Sendable {
        public var end: ProcessHandle.End
        /// Lines of standard output and standard error that are not empty; what comes after 64 KiB is dropped.
        public var lines: [String]

        public var succeeded: Bool { end == .exited(code: 0) }
        /// For messages.
        public var lastWords: String
    }

    /// Runs a program to its end; one that takes longer than the deadline is killed.
    /// - Parameters:
    ///   - calls: what starts it.
    ///   - confinement: what it runs as; nil for what this process is.
    public static func run(
        _ path: String,
        _ arguments: [String],
        calls: any ProcessCalls = OwnCalls(),
        loop: EventLoop,
        deadline: Duration,
        confinement: Confinement? = nil
    ) async throws -> Result {
        let output = try ProcessOutput()
        let program = Program(
            path: path,
            arguments: arguments,
            environment: QEMUProbe.environment,
            inherited: [],
            output: output.file,
            confinement: confinement
        )
        let process = try await BlockingCalls.run(on: loop, deadline: deadline) { try calls.start(program) }
        do {
            try await process.letThrough(path: path, loop: loop, deadline: deadline)
            try await loop.readable(process.handle.descriptor, deadline: deadline)
        } catch {
            try process.handle.kill()
            try await loop.readable(process.handle.descriptor, deadline: GuestSupervisor.killDeadline)
            _ = await process.handle.end(loop)
            throw error
        }
        return Result(end: await process.handle.end(loop), lines: output.lines, lastWords: output.lastWords ?? "")
    }
}
