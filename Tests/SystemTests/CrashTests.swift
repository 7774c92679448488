import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// The VM process dies under the guest.
    @Suite struct CrashTests {
        private static let dumps = "/srv/dumps"

        @Test func ramIsKeptAndTheGuestBootedAnew() async throws {
            try await withBootedSystem { system in
                let crash = [
                    "OnCrash=restart", "RestartLimitBurst=1", "Dump=yes", "DumpDirectory=\(Self.dumps)", "DumpRetain=1",
                ]
                let guest = try await RunningGuest(GuestPlan(ramMiB: 768, crash: crash), on: system)
                let supervisor = try await guest.mainPID()
                let mark = try heartbeat(guest)
                let first = try await crashed(guest) { try await guest.followStart(2) }
                try await expectDump(first, holds: mark, guest)

                let status = try await guest.expectGuestIntact()
                #expect(status.generation == 2)
                #expect(try await guest.mainPID() == supervisor)
                #expect(try await guest.journal(.startingAnew).count == 1)
                // The next one is as good as the first.
                try await guest.perdure("upgrade")
                try await guest.killSupervisor()
                try await guest.expectReceived(generation: 3)
                try await guest.expectGuestIntact()

                // Once more is once too often; and one dump is kept.
                let second = try await crashed(guest) { try await guest.expectGone(result: "exit-code") }
                #expect(second != first)
                #expect(
                    try await system.run(["ls", Self.dumps]).stdout == (second as NSString).lastPathComponent + "\n"
                )
                let loop = try #require(try await guest.journal(.crashLoop).last)
                #expect(loop["PERDURE_REASON"]?.contains("RestartLimitBurst=") == true)
                #expect(try await guest.journal(.guestStarted).count == 2)
                try await system.run(["systemctl", "reset-failed", guest.unit])
                try await guest.startAgain()
                try await guest.expectGuestIntact()
            }
        }

        /// Also where neither the supervisor nor room for a dump is there.
        @Test func theNextSupervisorDoesWhatIsToBeDone() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(crash: ["OnCrash=restart", "Dump=yes"]), on: system)
                let vm = try #require(try guest.vmProcesses().first)
                let mark = try heartbeat(guest)
                try await system.run(["kill", "-KILL", "\(try await guest.mainPID())", "\(vm.pid)"])
                try await guest.followStart(2)
                let dump = try #require(try await guest.journal(.dumped).last?["PERDURE_DUMP"])
                #expect(dump.hasPrefix("/var/lib/perdure/web/web."))
                try await expectDump(dump, holds: mark, guest)
                #expect(try await guest.expectGuestIntact().generation == 2)

                try await system.run(["mkdir", Self.dumps])
                try await system.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", Self.dumps])
                try await guest.define { $0.crash = ["Dump=yes", "DumpDirectory=\(Self.dumps)"] }
                try await guest.perdure("upgrade")
                let next = try #require(try guest.vmProcesses().first)
                try await system.run(["kill", "-SEGV", "\(next.pid)"])
                try await guest.expectGone(result: "exit-code")
                let lost = try #require(try await guest.journal(.lost).last)
                #expect(lost["PERDURE_REASON"]?.contains("was killed by signal 11") == true)
                let refused = try #require(try await guest.journal(.stepWentOn).last)
                #expect(refused["PERDURE_STEP"] == "dump-memory")
                #expect(refused["PERDURE_REASON"]?.contains("'\(Self.dumps)' has 8 MiB free") == true)
                #expect(try await system.run(["ls", Self.dumps]).stdout == "")
                #expect(try await guest.properties("NRestarts", "ExecMainStatus").values.sorted() == ["1", "1"])
            }
        }

        /// Kills the VM process and returns the path of the dump.
        private func crashed(_ guest: RunningGuest, _ then: () async throws -> Void) async throws -> String {
            let vm = try #require(try guest.vmProcesses().first)
            try await guest.system.run(["kill", "-KILL", "\(vm.pid)"])
            try await then()
            let lost = try #require(try await guest.journal(.lost).last)
            #expect(lost["PERDURE_REASON"]?.contains("(pid \(vm.pid))") == true)
            let dumped = try #require(try await guest.journal(.dumped).last)
            return try #require(dumped["PERDURE_DUMP"])
        }

        /// Where the guest says that it has which number.
        private func heartbeat(_ guest: RunningGuest) throws -> (address: String, magic: String) {
            let text = String(decoding: guest.console.bytes, as: UTF8.self)
            func value(_ name: String) throws -> String {
                let rest = try #require(text.components(separatedBy: "\(name)=").dropFirst().first)
                return String(rest.prefix { $0 != " " })
            }
            return (try value("heartbeat_paddr"), try value("heartbeat_magic"))
        }

        private func expectDump(_ path: String, holds mark: (address: String, magic: String), _ guest: RunningGuest)
            async throws
        {
            let gdb = ["gdb", "-batch", "-nx", "--core=\(path)", "-ex", "x/gx \(mark.address)"]
            let output = try await guest.system.run(gdb)
            let last = output.stdout.split(separator: "\n").last ?? ""
            #expect(
                last == "\(mark.address):\t0x0\(mark.magic.dropFirst(2))" || last == "\(mark.address):\t\(mark.magic)"
            )
            let numbers = try await guest.system.run(["stat", "--format=%a %s %b", path]).stdout
                .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
            try #require(numbers.count == 3)
            #expect(numbers[0] == 600)
            #expect(numbers[1] > guest.plan.ramMiB << 20)
            #expect(numbers[2] * 512 < numbers[1], "\(numbers[2] / 2048) MiB on disk")
            if guest.plan.ramMiB > 512 { #expect(numbers[2] * 512 < numbers[1] / 2) }
        }
    }
}
