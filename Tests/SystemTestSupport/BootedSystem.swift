import Foundation
import Synchronization
import SystemPackage

/// A systemd booted as PID 1 of its own namespaces, on an overlay of this machine's root or of another Debian's tree;
/// see `System/boot-systemd`.
///
/// It ends with this object, and with this process however that dies.
package final class BootedSystem: Sendable {
    /// A tree made by `make install DESTDIR=…`, or nil if system tests are not wanted.
    package static let stage = ProcessInfo.processInfo.environment["PERDURE_TEST_STAGE"]

    /// Where the test guest was built; seen as `/var/lib/perdure-tests` inside.
    package static let cache = ProcessInfo.processInfo.environment["PERDURE_TEST_CACHE"] ?? "/var/cache/perdure-tests"

    /// The system's root cgroup, as a path on this machine.
    package let cgroup: String
    private let currentLeader: Mutex<Int32>
    private let program: Task<Int32, any Error>
    /// boot-systemd ends when it reads the end of this pipe.
    private let lifeline: FileHandle
    private let messages: AsyncStream<String>
    private let errors: URL

    /// PID 1 of the system, by its number on this machine.
    package var leader: Int32 { currentLeader.withLock { $0 } }

    private init(destdir: String, tree: DebianTree?) async throws {
        errors = FileManager.default.temporaryDirectory.appendingPathComponent("boot-systemd-\(UUID().uuidString)")
        try Data().write(to: errors)
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../System/boot-systemd").standardizedFileURL
        let input = try FileDescriptor.pipe()
        let output = try FileDescriptor.pipe()
        let error = try FileDescriptor.open(errors.path, .writeOnly)
        let cache = FileManager.default.fileExists(atPath: Self.cache) ? Self.cache : ""
        program = Task.detached {
            try await Command.spawn(
                [script.path, destdir, cache] + (tree.map { [$0.path] } ?? []),
                input: input.readEnd,
                output: output.writeEnd,
                error: error
            )
        }
        lifeline = FileHandle(fileDescriptor: input.writeEnd.rawValue, closeOnDealloc: true)
        messages = Self.lines(
            from: FileHandle(fileDescriptor: output.readEnd.rawValue, closeOnDealloc: true)
        )
        let errors = errors
        do {
            let messages = messages
            cgroup = try await withDeadline(.seconds(30), for: "boot-systemd to make a cgroup") {
                try await Self.next("cgroup=", in: messages)
            }
            currentLeader = Mutex(0)
            try await waitForBoot()
        } catch {
            let reason = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
            try? FileManager.default.removeItem(at: errors)
            throw CommandFailure(description: "boot-systemd failed. \(error)\n\(reason)")
        }
    }

    /// Boots a system with the tree at `destdir` copied over its root, and waits until its start-up is complete.
    /// - Parameter tree: what the root is an overlay of; this machine's root where it is nil.
    package static func start(installing destdir: String, over tree: DebianTree? = nil) async throws -> BootedSystem {
        try await BootedSystem(destdir: destdir, tree: tree)
    }

    /// Waits until systemd has come up once more: after the start, or after a reboot that the system does by itself.
    package func waitForBoot(deadline: Duration = .seconds(120)) async throws {
        let messages = messages
        let pid = try await withDeadline(deadline, for: "the system's systemd to boot") {
            let pid = try await Self.next("leader=", in: messages)
            _ = try await Self.next("booted", in: messages)
            return pid
        }
        guard let pid = Int32(pid) else {
            throw CommandFailure(description: "boot-systemd printed 'leader=\(pid)', which is no number.")
        }
        currentLeader.withLock { $0 = pid }
        // 'degraded' and the like are for the tests to judge.
        _ = try await run(["systemctl", "is-system-running", "--wait"], deadline: deadline, check: false)
    }

    /// Reboots the system in an orderly way: what is on its disk stays, and all processes and `/run` go.
    package func reboot(deadline: Duration = .seconds(120)) async throws {
        // The command may be killed by what it asks for; whether that happens is seen below.
        _ = try? await run(["systemctl", "reboot"])
        try await waitForBoot(deadline: deadline)
    }

    /// Shuts the system down in an orderly way; it does not come back.
    package func powerOff(deadline: Duration = .seconds(120)) async throws {
        _ = try? await run(["systemctl", "poweroff"])
        let messages = messages
        try await withDeadline(deadline, for: "the system to power off") {
            for await _ in messages {}
        }
    }

    /// Runs a command inside as root, in the cgroup `init.scope`.
    /// - Parameters:
    ///   - deadline: when the command is killed and an error thrown.
    ///   - check: throw an error if it does not exit with 0.
    @discardableResult
    package func run(
        _ command: [String],
        input: String = "",
        deadline: Duration = .seconds(60),
        check: Bool = true
    ) async throws -> Output {
        let seconds = max(1, deadline.components.seconds)
        let output = try await Command.run(
            entering(["timeout", "--kill-after=5", "\(seconds)"] + command),
            input: input
        )
        let line = command.joined(separator: " ")
        if output.status == 124 || output.status == 137 {
            let reason = "'\(line)' was killed, by its deadline of \(seconds) s or with the whole system."
            throw CommandFailure(description: "\(reason)\n\(output.stderr)")
        }
        if check && output.status != 0 {
            throw CommandFailure(
                description: "'\(line)' exited with \(output.status).\n\(output.stdout)\(output.stderr)"
            )
        }
        return output
    }

    /// The command of this machine that runs a command inside, as `run` does.
    package func entering(_ command: [String]) -> [String] {
        // The cgroup must be entered before its namespace: with the mount option nsdelegate there is no way in later.
        let enterCgroup =
            #"echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs && exec nsenter --target 1 --cgroup -- "$@""#
        return ["nsenter", "--target", "\(leader)", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
            + ["sh", "-c", enterCgroup, "sh"]
            + ["env", "-i", "HOME=/root", "LANG=C.UTF-8"]
            + ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] + command
    }

    /// Ends the system, if it still runs, and waits until nothing is left of it.
    package func stop() async throws {
        try? lifeline.close()
        try await withDeadline(.seconds(60), for: "boot-systemd to tear the system down") { [messages] in
            for await _ in messages {}
        }
        let status = try await program.value
        try? FileManager.default.removeItem(at: errors)
        if status != 0 {
            throw CommandFailure(description: "boot-systemd exited with \(status).")
        }
    }

    private static func next(_ prefix: String, in messages: AsyncStream<String>) async throws -> String {
        for await line in messages where line.hasPrefix(prefix) {
            return String(line.dropFirst(prefix.count))
        }
        throw CommandFailure(description: "It ended before it said '\(prefix)'.")
    }

    private static func lines(from handle: FileHandle) -> AsyncStream<String> {
        AsyncStream { continuation in
            Thread.detachNewThread {
                var pending = Data()
                while case let chunk = handle.availableData, !chunk.isEmpty {
                    pending.append(chunk)
                    while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                        continuation.yield(String(decoding: pending[..<end], as: UTF8.self))
                        pending.removeSubrange(...end)
                    }
                }
                continuation.finish()
            }
        }
    }
}
