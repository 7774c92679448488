import Foundation
import Synchronization
import SystemTestSupport
import Testing

extension SystemTests {
    /// Whatever the next VM process sends, the handover is rolled back, and guest and supervisor are as they were.
    @Suite struct HostileVMProcessTests {
        /// How long the control socket may take to answer meanwhile. A tenth of a second does on a quiet machine.
        private static let patience = Duration.seconds(2)
        /// Kilobytes by which the supervisor may grow meanwhile: 48 times the longest line, and what a handover takes.
        private static let mostMemory = 64 << 10

        @Test func handoverIsUndone() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(options: ["tick_ms=100"]), on: system)
                let pid = try await guest.status().pid
                for hostile in HostileVMProcess.all { try await expectHarmless(hostile, guest, pid) }
                try await expectQuietJournal(guest)

                // The same, begun by a supervisor that has just taken the guest over.
                let supervisor = try await guest.mainPID()
                try await guest.systemctl("restart")
                #expect(try await guest.mainPID() != supervisor)
                try await guest.expectGuestIntact(pid: pid)

                try await guest.define {
                    $0.qemu = nil
                    $0.handover = []
                }
                try await guest.perdure("upgrade")
                #expect(try await guest.expectGuestIntact().pid != pid)
                #expect(try await guest.journal(.lost).isEmpty)
                #expect(try await guest.journal(.vmProcessSilent).isEmpty)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        private func expectHarmless(_ hostile: HostileVMProcess, _ guest: RunningGuest, _ pid: Int32?) async throws {
            let name = Comment(rawValue: hostile.name)
            let path = try await hostile.install(on: guest.system)
            try await guest.define {
                $0.qemu = path
                $0.handover = ["PrepareTimeoutSec=2s", "LoadTimeoutSec=2s"]
            }
            let supervisor = try await supervisor(of: guest)
            let before = try Self.kilobytes("VmRSS", of: supervisor)
            try Data("5".utf8).write(to: URL(filePath: "/proc/\(supervisor.hostPID)/clear_refs"))

            let client = StatusClient(path: guest.system.hostPath("/run/perdure/web/control"))
            let slowest = Task.detached { try client.callUntilStopped() }
            let upgrade = try await guest.perdure("upgrade", check: false)
            client.stop()
            #expect(upgrade.status == 75, name)
            #expect(upgrade.stderr.contains(hostile.reason), "\(name): \(upgrade.stderr.prefix(1000))")
            #expect(upgrade.stderr.utf8.count < 4_000, name)
            #expect(try await slowest.value < Self.patience, name)

            let grown = try Self.kilobytes("VmHWM", of: supervisor) - before
            #expect(grown < Self.mostMemory, name)
            #expect(try await guest.expectGuestIntact(pid: pid).pid == pid, name)
            #expect(try await self.supervisor(of: guest).pid == supervisor.pid, name)
        }

        /// What a VM process sends makes neither many entries nor long ones.
        private func expectQuietJournal(_ guest: RunningGuest) async throws {
            let entries = try await guest.system.journal("PERDURE_GUEST=\(guest.name)")
            #expect(entries.count < 20 * HostileVMProcess.all.count)
            for field in entries.flatMap({ [$0["MESSAGE"], $0["PERDURE_REASON"]] }).compactMap({ $0 }) {
                #expect(field.utf8.count < 4_000)
                #expect(!field.unicodeScalars.contains { $0.properties.generalCategory == .control && $0 != "\n" })
            }
        }

        private func supervisor(of guest: RunningGuest) async throws -> SystemProcess {
            let pid = try await guest.mainPID()
            return try #require(try guest.system.processes().first { $0.pid == pid })
        }

        private static func kilobytes(_ field: String, of process: SystemProcess) throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(process.hostPID)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("\(field):") }
            return try #require(line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
        }
    }
}

/// Asks for the status again and again.
private final class StatusClient: Sendable {
    private let path: String
    private let isStopped = Atomic(false)

    init(path: String) { self.path = path }

    func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Returns the longest time that an answer took, each on a connection of its own.
    func callUntilStopped() throws -> Duration {
        var slowest = Duration.zero
        while !isStopped.load(ordering: .relaxed) {
            let begin = ContinuousClock.now
            let reply = try RawConnection(path).call("io.perdure.Guest.GetStatus")
            #expect(reply.contains("\"state\""))
            slowest = max(slowest, .now - begin)
            usleep(20_000)
        }
        return slowest
    }
}
