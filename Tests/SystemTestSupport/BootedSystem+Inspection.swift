import Foundation

/// A process of a booted system.
package struct SystemProcess: Sendable {
    /// Its number inside the system.
    package let pid: Int32
    /// Its number on this machine, for `/proc`.
    package let hostPID: Int32
    package let arguments: [String]
    /// Its cgroup relative to the system's root, such as `/system.slice/dbus.service`.
    package let cgroup: String
}

extension BootedSystem {
    /// Writes a file inside, and makes the directories that lead to it.
    package func write(_ file: String, _ contents: String) async throws {
        try await run(["sh", "-c", #"mkdir -p "$(dirname "$0")" && cat >"$0""#, file], input: contents)
    }

    package func read(_ file: String) async throws -> String {
        try await run(["cat", file]).stdout
    }

    /// Where a file of the system is found on this machine, without running anything inside. Leads astray if there is
    /// an absolute symbolic link on the way.
    package func hostPath(_ file: String) -> String {
        "/proc/\(leader)/root\(file)"
    }

    /// A property as `systemctl show` prints it.
    package func property(_ unit: String, _ name: String) async throws -> String {
        try await run(["systemctl", "show", "--property", name, "--value", "--", unit]).stdout
            .trimmingCharacters(in: .newlines)
    }

    /// Journal entries, oldest first, with all that was logged before this call.
    /// - Parameters:
    ///   - unit: only entries of and about this unit.
    ///   - fields: matches such as `PERDURE_GUEST=web`; all of them must hold.
    package func journal(unit: String? = nil, _ fields: String...) async throws -> [[String: String]] {
        try await run(["journalctl", "--sync"])
        let unitMatch = unit.map { ["--unit", $0] } ?? []
        let output = try await run(
            ["journalctl", "--quiet", "--no-pager", "--all", "--output=json"] + unitMatch + fields
        )
        return try output.stdout.split(separator: "\n").map { line in
            let entry = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
            return entry.compactMapValues(Self.text)
        }
    }

    /// journalctl prints a field that is no text as an array of bytes, and one that occurs twice as an array of texts.
    private static func text(_ value: Any) -> String? {
        switch value {
        case let text as String: text
        case let bytes as [NSNumber]: String(decoding: bytes.map(\.uint8Value), as: UTF8.self)
        case let values as [Any]: values.compactMap(text).joined(separator: "\n")
        default: nil
        }
    }

    /// The last lines of the journal, for an error report.
    package func journalEnd(lines: Int = 200) async -> String {
        let command = ["journalctl", "--no-pager", "--lines", "\(lines)", "--output=short-precise"]
        do {
            return try await run(command, check: false).stdout
        } catch {
            return "The journal cannot be read: \(error)"
        }
    }

    /// The system's living processes, or those whose program's file name is `name`.
    package func processes(named name: String? = nil) throws -> [SystemProcess] {
        try Self.processes(inNamespaceOf: leader).filter { process in
            guard let name else { return true }
            return process.arguments.first.map { ($0 as NSString).lastPathComponent == name } ?? false
        }
    }

    private static func processes(inNamespaceOf leader: Int32) throws -> [SystemProcess] {
        let namespace = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(leader)/ns/pid")
        return try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { entry in
            guard let hostPID = Int32(entry),
                // A process may end at any time: what cannot be read is gone.
                let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(entry)/ns/pid"),
                link == namespace,
                let status = try? String(contentsOfFile: "/proc/\(entry)/status", encoding: .utf8),
                let cgroups = try? String(contentsOfFile: "/proc/\(entry)/cgroup", encoding: .utf8),
                let arguments = try? String(contentsOfFile: "/proc/\(entry)/cmdline", encoding: .utf8),
                !arguments.isEmpty,
                let numbers = status.split(separator: "\n").first(where: { $0.hasPrefix("NSpid:") }),
                let pid = numbers.split(separator: "\t").last.flatMap({ Int32($0) })
            else { return nil }
            let path = cgroups.split(separator: "\n").first { $0.hasPrefix("0::") }?.dropFirst(3) ?? ""
            let components = path.split(separator: "/").drop { !$0.hasPrefix("perdure-test-") }.dropFirst()
            return SystemProcess(
                pid: pid,
                hostPID: hostPID,
                arguments: arguments.split(separator: "\0").map(String.init),
                cgroup: "/" + components.joined(separator: "/")
            )
        }
    }

    /// Looks at `condition` again and again until it holds; only for what cannot be waited for as an event.
    /// - Parameter what: completes the sentence "Waited in vain for …".
    package func waitUntil(
        _ what: String,
        deadline: Duration = .seconds(60),
        _ condition: () async throws -> Bool
    ) async throws {
        let clock = ContinuousClock()
        let end = clock.now + deadline
        while try await !condition() {
            guard clock.now < end else {
                throw CommandFailure(description: "Waited \(deadline) in vain for \(what).")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
