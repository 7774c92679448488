import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// A handover is tried without being done.
    @Suite struct RehearsalTests {
        @Test func nothingOfTheGuestChanges() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan()
                plan.handover = ["LoadTimeoutSec=60s"]
                plan.addDevices()
                let guest = try await RunningGuest(plan, on: system)
                let old = try #require(try guest.vmProcesses().first)
                let supervisor = try #require(
                    try system.processes(named: "perdure").first { $0.arguments.contains("supervise") }
                )
                let ram = try Self.memoryFile("ram.main", of: supervisor.hostPID)

                // The first to read the saved state is the VM process to be thrown away. By then the guest is paused.
                let halt = try ReadHalt(of: Self.memoryFile("vmstate", of: supervisor.hostPID))
                async let rehearsal = system.run(["perdure", "upgrade", "--dry-run", plan.name], check: false)
                let reader = try await halt.firstReader(deadline: .seconds(120))
                #expect(reader != old.hostPID)
                let maps = try String(contentsOfFile: "/proc/\(reader)/maps", encoding: .utf8).split(separator: "\n")
                let views = maps.filter { $0.contains("/memfd:ram.main") }
                #expect(views.count == 1 && views[0].contains(" rw-p "), "\(views)")
                // Whatever it is told from here on, it stays paused until all of its memory has been compared.
                #expect(kill(old.hostPID, SIGSTOP) == 0)
                let copy = FileManager.default.temporaryDirectory.appendingPathComponent("ram-\(UUID().uuidString)")
                defer { try? FileManager.default.removeItem(at: copy) }
                #expect(try await Command.run(["cp", ram, copy.path]).status == 0)
                halt.end()
                try await system.waitUntil("the VM process to be thrown away") {
                    try !guest.vmProcesses().contains { $0.hostPID == reader }
                }
                let comparison = try await Command.run(["cmp", ram, copy.path])
                #expect(kill(old.hostPID, SIGCONT) == 0)
                #expect(comparison.status == 0, "\(comparison.stdout)\(comparison.stderr)")

                let output = try await rehearsal
                #expect(output.status == 0, "\(output.stderr)")
                #expect(output.stdout.hasPrefix("QEMU 7.2."), "\(output.stdout)")
                #expect(output.stdout.contains(" loads guest 'web'; pause "))
                let status = try await guest.expectGuestIntact(pid: old.pid)
                #expect(status.generation == 1)
                #expect(status.lastPauseUsec == nil)
                let entry = try #require(try await guest.journal(.rehearsed).last)
                #expect(entry["PERDURE_PAUSE_USEC"].flatMap { Int($0) } ?? 0 > 0)

                // One that nobody has halted is short; and the handover itself works as it was rehearsed.
                print("rehearsal: \(try await guest.perdure("upgrade", "--dry-run").stdout)", terminator: "")
                try await guest.expectGuestIntact(pid: old.pid)
                try await guest.perdure("upgrade")
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try guest.diskLog().problems == [])
            }
        }

        @Test func whatWouldFailIsSaid() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let pid = try await guest.status().pid
                let obstacles = [
                    (QEMUWrapper.otherMachine, "does not take the guest's state", "rehearse-load"),
                    (.endsAsVMProcess, "farewell", "connect"),
                    (.smallBuild, "device-missing", "probe-qemu"),
                ]
                for (wrapper, reason, step) in obstacles {
                    let qemu = try await wrapper.install(on: system)
                    let output = try await guest.perdure("upgrade", "--dry-run", "--qemu", qemu, check: false)
                    #expect(output.status == 75)
                    #expect(output.stderr.contains(reason))
                    #expect(try await guest.expectGuestIntact(pid: pid).generation == 1)
                    let failed = try await guest.journal(.rehearsalFailed).last
                    #expect(failed?["PERDURE_REASON"]?.contains(reason) == true)
                    #expect(failed?["PERDURE_STEP"] == step)
                }
                #expect(try await guest.journal(.handoverUndone).isEmpty)
                try await guest.perdure("save")
                #expect(try await guest.perdure("upgrade", "--dry-run", check: false).status == 75)
            }
        }

        private static func memoryFile(_ name: String, of hostPID: Int32) throws -> String {
            let directory = "/proc/\(hostPID)/fd"
            let entry = try FileManager.default.contentsOfDirectory(atPath: directory).first { entry in
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(entry)")
                return target == "/memfd:\(name) (deleted)"
            }
            return "\(directory)/\(try #require(entry))"
        }
    }
}
