import Glibc
import Linux
import QMP

/// Starts a QEMU program, without a machine or without a guest, and asks what it can do.
public enum QEMUProbe {
    /// Nothing of the supervisor's own environment is QEMU's business.
    static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// - Parameters:
    ///   - calls: what starts it.
    ///   - deadline: for each answer.
    ///   - confinement: what the program runs as; nil for what this process is.
    public static func run(
        path: String,
        calls: any ProcessCalls = OwnCalls(),
        loop: EventLoop,
        deadline: Duration,
        confinement: Confinement? = nil
    ) async throws -> QEMUFacts {
        try await withQEMU(path, calls: calls, loop: loop, deadline: deadline, confinement: confinement) { monitor in
            [
                "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S",
                "-chardev", "socket,id=qmp,fd=\(monitor),server=off", "-mon", "chardev=qmp,mode=control",
            ]
        } ask: { qmp in
            try await QEMUFacts.ask(qmp, path: path, deadline: deadline)
        }
    }

    /// Where a QEMU program finds a file of the data that comes with it; nil where it has none.
    static func dataFile(
        _ name: String,
        of path: String,
        calls: any ProcessCalls,
        loop: EventLoop,
        deadline: Duration,
        confinement: Confinement?
    ) async throws -> String? {
        do {
            let result = try await ProgramRun.run(
                path,
                ["-L", "help"],
                calls: calls,
                loop: loop,
                deadline: deadline,
                confinement: confinement
            )
            let found = result.lines.first { access("\($0)/\(name)", R_OK) == 0 }
            return found.map { "\(resolved($0))/\(name)" }
        } catch {
            throw Failure(description: "QEMU '\(path)' does not say where its data is ('-L help'): \(error)")
        }
    }

    /// Without the `..` that QEMU leaves in a directory's path.
    private static func resolved(_ directory: String) -> String {
        guard let path = realpath(directory, nil) else { return directory }
        defer { free(path) }
        return String(cString: path)
    }

    /// Starts a QEMU program, asks it something and ends it.
    /// - Parameters:
    ///   - arguments: made from the number of its end of the monitor's socket pair.
    ///   - calls: what starts it.
    ///   - deadline: for each answer.
    static func withQEMU<Answer: Sendable>(
        _ path: String,
        calls: any ProcessCalls,
        loop: EventLoop,
        deadline: Duration,
        confinement: Confinement?,
        arguments: (Int32) -> [String],
        ask: (QMPClient) async throws -> Answer
    ) async throws -> Answer {
        let output = try ProcessOutput()
        let (process, ours) = try await start(
            path: path,
            arguments: arguments,
            output: output,
            confinement,
            calls: calls,
            loop: loop,
            deadline: deadline
        )
        let qmp = QMPClient(socket: ours, loop: loop)
        let result: Result<Answer, any Error>
        do {
            try await process.letThrough(path: path, loop: loop, deadline: deadline)
            try await qmp.negotiate(deadline: deadline)
            result = .success(try await ask(qmp))
        } catch {
            result = .failure(error)
        }
        await qmp.close()
        // One that has ended by itself keeps its status.
        let hadEnded = !process.handle.isRunning
        try process.handle.kill()
        try await loop.readable(process.handle.descriptor, deadline: GuestSupervisor.killDeadline)
        let end = await process.handle.end(loop)
        switch result {
        case .success(let answer): return answer
        case .failure(let error):
            let reason = hadEnded && error is QMPError ? "it \(end)" : "\(error)"
            let words = output.lastWords.map { "; it said: \($0)" } ?? ""
            throw Failure(description: "QEMU '\(path)' can't be used: \(reason)\(words)")
        }
    }

    /// Only the child keeps its end of the monitor: its end is seen there.
    private static func start(
        path: String,
        arguments: (Int32) -> [String],
        output: ProcessOutput,
        _ confinement: Confinement?,
        calls: any ProcessCalls,
        loop: EventLoop,
        deadline: Duration
    ) async throws -> (GatedProcess, monitor: Descriptor) {
        let (ours, theirs) = try UnixSocket.pair()
        let program = Program(
            path: path,
            arguments: arguments(theirs.raw),
            environment: environment,
            inherited: [theirs],
            output: output.file,
            confinement: confinement
        )
        return (try await BlockingCalls.run(on: loop, deadline: deadline) { try calls.start(program) }, ours)
    }
}

extension ProcessHandle {
    /// How long the parent of a process may take to say how it has ended.
    private static let keeperDeadline = Duration.seconds(2)

    /// How the process has ended; call it only once it has.
    func end(_ loop: EventLoop) async -> End {
        if let keeper { try? await loop.readable(keeper, deadline: ProcessHandle.keeperDeadline) }
        return reap()
    }
}

extension GatedProcess {
    /// Lets the child execute, and returns when it has.
    func letThrough(path: String, loop: EventLoop, deadline: Duration) async throws {
        try open()
        try await loop.readable(execResult, deadline: deadline)
        try checkExecuted(path: path)
    }
}
