import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What a person does to a guest, and that it stays so.
    @Suite struct VerbTests {
        @Test func whatAPersonWantsStaysSo() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(diskFormat: "qcow2"), on: system)
                let monitor = try RawConnection(system.hostPath("/run/perdure/web/control"))
                try monitor.send(#"{"method":"io.perdure.Guest.Monitor","more":true}"# + "\0")
                #expect(try monitor.receive().contains(#""state":"running""#))

                try await expectPause(guest)
                #expect(try states(from: monitor, until: "paused").contains(#""continues":true"#))
                try await expectHold(guest)
                try await expectDifferences(guest)
                try await expectEnds(guest)
            }
        }

        /// Each handover of a guest that stands still saves it out of a VM process that has never run it.
        @Test(
            .enabled(if: isSoak, "PERDURE_TEST_SOAK asks for it"),
            arguments: [DebianTree.trixie, .sid]
        )
        func aPausedGuestCrossesAgainAndAgain(tree: DebianTree) async throws {
            try await withBootedSystem(over: tree) { system in
                let guest = try await RunningGuest(GuestPlan(diskFormat: "qcow2"), on: system)
                try await guest.perdure("pause")
                for _ in 0..<4 { try await guest.perdure("upgrade") }
                try await guest.perdure("hold")
                try await guest.perdure("resume")
                #expect(try await guest.expectGuestIntact().generation == 6)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await guest.checkedDiskLog().problems == [])
            }
        }

        /// What a monitor is told, up to the first state of that name.
        private func states(from monitor: RawConnection, until state: String) throws -> String {
            var told = ""
            repeat { told = try monitor.receive() } while !told.isEmpty && !told.contains(#""state":"\#(state)""#)
            return told
        }

        private func expectPause(_ guest: RunningGuest) async throws {
            let since = try #require(try await guest.status().sinceUsec)
            try await guest.perdure("pause")
            // It says nothing more: what it had said by then is all.
            let paused = try await guest.status()
            #expect(paused.state == "paused" && paused.generation == 1)
            #expect(try #require(paused.sinceUsec) > since)
            try guest.console.update()
            let said = paused.consoleBytes
            for verb in ["pause", "powerdown"] {
                #expect(try await guest.perdure(verb, check: false).status == 75)
            }
            #expect(try await guest.perdure("upgrade", "--dry-run", check: false).status == 75)

            try await guest.killSupervisor()
            #expect(try await guest.status().state == "paused")
            try await guest.perdure("upgrade")
            var status = try await guest.status()
            #expect(status.state == "paused" && status.generation == 2)
            try await guest.systemctl("restart")
            status = try await guest.status()
            #expect(status.state == "paused" && status.generation == 3)
            try await guest.killSupervisor()
            #expect(try await guest.status().consoleBytes == said)
            #expect(try await guest.journal(.rolledBack).isEmpty)

            // A handover that is undone leaves it paused, too. QEMU does not save it again before it has run.
            let refusing = try await QEMUWrapper.otherMachine.install(on: guest.system)
            #expect(try await guest.perdure("upgrade", "--qemu", refusing, check: false).status == 75)
            #expect(try await guest.status().state == "paused")
            let again = try await guest.perdure("upgrade", check: false)
            #expect(again.status == 75 && again.stderr.contains("perdure resume"), "\(again.stderr)")

            try await guest.perdure("resume")
            #expect(try await guest.perdure("resume", check: false).status == 75)
            #expect(try await guest.expectGuestIntact().generation == 3)
            try await guest.perdure("upgrade")
            #expect(try await guest.expectGuestIntact().generation == 5)
        }

        private func expectHold(_ guest: RunningGuest) async throws {
            try await guest.perdure("hold")
            #expect(try guest.vmProcesses().isEmpty)
            for _ in 0..<2 {
                let status = try await guest.status()
                #expect(status.state == "saved" && status.pid == nil)
                #expect(try await guest.perdure("pause", check: false).status == 75)
                try await guest.killSupervisor()
            }
            try await guest.systemctl("restart")
            try await guest.perdure("resume")
            try await guest.expectGuestIntact()
            // Saved with its VM process still there, it goes on in that one.
            try await guest.perdure("save")
            let pid = try await guest.status().pid
            try await guest.perdure("resume")
            try await guest.expectGuestIntact(pid: pid)
        }

        private func expectDifferences(_ guest: RunningGuest) async throws {
            #expect(try await guest.perdure("diff").stdout.contains("runs with what its definition says"))
            try await guest.define {
                $0.ramMiB = 160
                $0.handover = ["SaveTimeoutSec=7"]
            }
            let lines = try await guest.perdure("diff").stdout.split(separator: "\n").map(String.init)
            #expect(lines.count == 4 && lines[0].hasPrefix("The next handover applies"), "\(lines)")
            #expect(lines.count == 4 && lines[1].contains("[Handover] SaveTimeoutSec="), "\(lines)")
            #expect(
                lines.count == 4 && lines[3].contains("[RAM main] Size= is 160M, the running guest has 128M"),
                "\(lines)"
            )
            struct Differences: Decodable { let appliedByHandover, needPowerCycle: [String] }
            let json = try await guest.perdure("diff", "--json").stdout
            let differences = try JSONDecoder().decode(Differences.self, from: Data(json.utf8))
            #expect(differences.appliedByHandover.count == 1 && differences.needPowerCycle.count == 1)
            try await guest.system.write(guest.plan.path, "[Guest]\nMachin=q35\n")
            let invalid = try await guest.perdure("diff", check: false)
            #expect(invalid.status == 78 && invalid.stderr.contains("web.guest:2:1: "), "\(invalid.stderr)")
            try await guest.define {
                $0.ramMiB = 128
                $0.handover = []
            }
        }

        private func expectEnds(_ guest: RunningGuest) async throws {
            // It stands still: to be powered off it has to run again.
            try await guest.perdure("pause")
            try await guest.systemctl("stop")
            try await guest.expectGone()
            try await guest.console.wait(for: "perdure-guest powering off")
            #expect(try await guest.perdure("pause", check: false).status == 69)

            // Without a VM process it gets one: nothing that it has in memory only is lost.
            try await guest.startAgain()
            try await guest.perdure("hold")
            try await guest.systemctl("stop")
            try await guest.expectGone()
            try await guest.console.wait(for: "perdure-guest powering off")
            #expect(try await guest.journal(.lost).isEmpty)

            try await guest.startAgain()
            try await guest.perdure("powerdown")
            try await guest.expectGone()
            try await guest.console.wait(for: "perdure-guest powering off")

            try await guest.startAgain()
            try await guest.perdure("reset")
            try await guest.console.wait(for: "perdure-guest ready ", count: 2)
            let boots = GuestConsole(Array(guest.console.bytes)).boots
            #expect(boots.count == 2 && boots.first?.id != boots.last?.id)
            try await guest.perdure("kill")
            try await guest.expectGone()
            #expect(try await guest.journal(.killed).count == 1)
            #expect(try await guest.journal(.lost).isEmpty)
        }
    }
}
