import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct BootedSystemTests {
        @Test func bootsSystemdAndLeavesNothingBehind() async throws {
            let stage = try #require(BootedSystem.stage)
            let system = try await BootedSystem.start(installing: stage)
            let (cgroup, leader) = (system.cgroup, system.leader)
            let namespace = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(leader)/ns/pid")

            #expect(try await system.run(["systemctl", "is-system-running"]).stdout == "running\n")
            let version = try await system.run(["systemctl", "--version"]).stdout
            let number = version.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            #expect(number >= 252)
            #expect(try await system.property("dbus.service", "ActiveState") == "active")
            #expect(try system.processes(named: "systemd").map(\.pid) == [1])
            #expect(
                try system.processes(named: "systemd-journald").map(\.cgroup)
                    == ["/system.slice/systemd-journald.service"]
            )

            try await system.stop()
            #expect(!FileManager.default.fileExists(atPath: cgroup))
            let instance = (cgroup as NSString).lastPathComponent.dropFirst("perdure-test-".count)
            #expect(!FileManager.default.fileExists(atPath: "/var/tmp/perdure-test-systems/\(instance)"))
            #expect(!(try String(contentsOfFile: "/proc/mounts", encoding: .utf8)).contains("perdure-test"))
            let left = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/ns/pid")) == namespace
            }
            #expect(left.isEmpty)
        }

        @Test func filesAndJournalCanBeUsed() async throws {
            try await withBootedSystem { system in
                try await system.write("/etc/perdure-test/file", "one\ntwo\n")
                #expect(try await system.read("/etc/perdure-test/file") == "one\ntwo\n")
                try await system.run(["systemd-cat", "--identifier=perdure-test", "echo", "a message"])
                let entries = try await system.journal("SYSLOG_IDENTIFIER=perdure-test")
                #expect(entries.map { $0["MESSAGE"] } == ["a message"])
                await #expect(throws: CommandFailure.self) { try await system.run(["false"]) }
                await #expect(throws: CommandFailure.self) {
                    try await system.run(["sleep", "infinity"], deadline: .seconds(1))
                }
            }
        }

        @Test func rebootKeepsTheDiskOnly() async throws {
            try await withBootedSystem { system in
                try await system.run(["touch", "/var/lib/stays", "/run/goes"])
                let boot = try await system.read("/proc/sys/kernel/random/boot_id")
                try await system.reboot()
                #expect(try await system.run(["ls", "/var/lib/stays"]).status == 0)
                #expect(try await system.run(["ls", "/run/goes"], check: false).status != 0)
                #expect(try await system.read("/proc/sys/kernel/random/boot_id") != boot)
                try await system.powerOff()
            }
        }
    }
}
