import Foundation
import SystemTestSupport
import Testing

/// The guest of `System/make-debian-image`: an installed Debian with PostgreSQL, reached by SSH over a bridge.
struct DebianGuest {
    /// On this machine, and inside of a booted system.
    private static let made = "\(BootedSystem.cache)/debian-12"
    private static let madeInside = "\(GuestPlan.files)/debian-12"
    private static let address = "10.78.0.2"
    private static let cluster = "/var/lib/postgresql/15/main"
    private static let programs = "runuser -u postgres -- /usr/lib/postgresql/15/bin"

    /// Why tests that need it have to be skipped; nil if it is there.
    static let missing: String? = {
        guard !FileManager.default.fileExists(atPath: made) else { return nil }
        let reason = try? String(contentsOfFile: "\(made).missing", encoding: .utf8)
        return "There is no disk with Debian 12 at '\(made)'. \(reason ?? "'make stage' makes it.")"
    }()

    let guest: RunningGuest
    private var system: BootedSystem { guest.system }

    /// Starts it, and returns when PostgreSQL and the SSH server run.
    init(on system: BootedSystem) async throws {
        try await Bridge.make("br0", "10.78.0.1/24", on: system)
        var plan = GuestPlan(ramMiB: 512)
        plan.kernel = ("\(Self.madeInside)/vmlinuz", "\(Self.madeInside)/initrd.img")
        plan.kernelCommandLine = "console=ttyS0 root=/dev/vda rw quiet"
        plan.sections = ["[CPU]", "Count=2", "[Network lan]", "Bridge=br0", "[RNG]"]
        plan.queues = 1
        let copy = "mkdir -p \"${1%/*}\" && cp --sparse=always \"$0\" \"$1\""
        try await system.run(["sh", "-c", copy, "\(Self.madeInside)/root.img", plan.image], deadline: .seconds(300))
        guest = try await RunningGuest(starting: plan, on: system)
        try await guest.console.wait(for: " login: ", deadline: .seconds(600))
        try await system.waitUntil("the SSH server of the guest", deadline: .seconds(180)) {
            try await run("true", check: false).status == 0
        }
        let state = try await run("systemctl is-system-running --wait", deadline: .seconds(300), check: false)
        let failed = try await run("systemctl --failed", check: false).stdout
        #expect(state.stdout == "running\n", "\(failed)")
    }

    private static let ssh = [
        "ssh", "-i", "\(madeInside)/ssh-key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "root@\(address)",
    ]

    /// Runs a command in the guest.
    @discardableResult
    func run(_ command: String, deadline: Duration = .seconds(120), check: Bool = true) async throws -> Output {
        try await system.run(Self.ssh + [command], deadline: deadline, check: check)
    }

    private func query(_ sql: String) async throws -> String {
        try await run("runuser -u postgres -- psql -At -c '\(sql)' postgres").stdout.trimmingCharacters(
            in: .whitespacesAndNewlines
        )
    }

    // MARK: One session

    /// A session that numbered lines go through, there and back, until it is ended.
    func startSession() async throws {
        let lines = "i=0; while [ ! -e /run/session.stop ]; do i=$((i + 1)); echo $i; sleep 0.02; done"
        let script = "(\(lines)) | \"$@\" >/run/session.lines"
        try await system.run(
            ["systemd-run", "--quiet", "--unit=session", "--property=RemainAfterExit=yes", "sh", "-c", script, "sh"]
                + Self.ssh + ["cat"]
        )
        _ = try await sessionLines(atLeast: 10)
    }

    /// Returns when so many lines have come back.
    func sessionLines(atLeast count: Int) async throws -> Int {
        var lines = 0
        try await system.waitUntil("\(count) lines of the session", deadline: .seconds(120)) {
            lines = Int(try await system.run(["sh", "-c", "wc -l </run/session.lines"]).stdout.dropLast()) ?? 0
            return lines >= count
        }
        return lines
    }

    /// Ends it in an orderly way, and returns how many lines there were, none of which was lost, doubled or changed.
    func endSession() async throws -> Int {
        try await system.write("/run/session.stop", "")
        try await system.waitUntil("the session's end") {
            try await system.property("session.service", "SubState") != "running"
        }
        #expect(try await system.property("session.service", "ExecMainStatus") == "0")
        #expect(try await system.property("session.service", "SubState") == "exited")
        let lines = try await system.read("/run/session.lines").split(separator: "\n").map { Int($0) }
        #expect(lines == Array(1...max(lines.count, 1)))
        return lines.count
    }

    // MARK: PostgreSQL

    func startBench() async throws {
        try await run("systemctl start bench")
        try await system.waitUntil("the first transactions", deadline: .seconds(120)) {
            Int(try await query("SELECT count(*) FROM pgbench_history")) ?? 0 > 0
        }
    }

    /// Ends it in an orderly way. No transaction has failed, and what was reported as done is there.
    /// - Returns: the number of transactions.
    func endBench() async throws -> Int {
        try await run("touch /run/bench-stop")
        try await system.waitUntil("the end of pgbench", deadline: .seconds(180)) {
            try await run("systemctl is-active bench", check: false).stdout != "active\n"
        }
        #expect(try await run("systemctl show -P Result bench").stdout == "success\n")
        #expect(try await run("cat /var/lib/postgresql/bench.err").stdout.replacing(/pgbench \(.*\)\n/, with: "") == "")
        let output = try await run("cat /var/lib/postgresql/bench.out").stdout
        func numbers(_ name: String) -> [Int] {
            output.split(separator: "\n").filter { $0.hasPrefix("\(name): ") }.compactMap { line in
                Int(line.dropFirst(name.count + 2).prefix { $0.isNumber })
            }
        }
        let failed = numbers("number of failed transactions")
        #expect(!failed.isEmpty && failed.allSatisfy { $0 == 0 })
        let done = numbers("number of transactions actually processed").reduce(0, +)
        #expect(try await query("SELECT count(*) FROM pgbench_history") == "\(done)")
        let sums = [("history", "delta"), ("accounts", "abalance"), ("tellers", "tbalance"), ("branches", "bbalance")]
        var found: Set<String> = []
        for (table, column) in sums { found.insert(try await query("SELECT sum(\(column)) FROM pgbench_\(table)")) }
        #expect(found.count == 1, "\(found)")
        return done
    }

    /// What is on the disk is whole: indices, and then all pages of the cluster.
    func expectDatabaseIntact() async throws {
        let indices = "\(Self.programs)/pg_amcheck --heapallindexed -d postgres"
        let check = try await run(indices, deadline: .seconds(300), check: false)
        #expect(check.status == 0, "\(check)")
        try await run("systemctl stop postgresql@15-main", deadline: .seconds(180))
        let checksums = "\(Self.programs)/pg_checksums -D \(Self.cluster) --check"
        let sums = try await run(checksums, deadline: .seconds(300), check: false)
        #expect(sums.status == 0 && sums.stdout.contains("Bad checksums:  0"), "\(sums)")
    }

    /// What the guest's kernel complains of; of an emulated machine on a busy host it does already when it boots.
    func kernelErrors() async throws -> String { try await run("journalctl -k -b -q -p err -o cat").stdout }

    func bootID() async throws -> String { try await run("cat /proc/sys/kernel/random/boot_id").stdout }

    /// All of its services do well.
    func expectHealthy() async throws {
        #expect(try await run("systemctl --failed --quiet --no-legend").stdout == "")
    }
}
