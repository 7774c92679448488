import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    @Suite struct TwoGuestsTests {
        /// One guest's name begins like the other's.
        @Test func guestsDoNotTouchEachOther() async throws {
            try await withBootedSystem { system in
                let web = try await RunningGuest(GuestPlan(name: "web"), on: system)
                let other = try await RunningGuest(GuestPlan(name: "web-1"), on: system)
                let untouched = try await other.expectGuestIntact()

                try await web.perdure("upgrade")
                try await web.systemctl("restart")
                try await web.killSupervisor()
                try await web.perdure("save")
                try await web.perdure("exec")
                try await web.perdure("load")
                #expect(try await web.expectGuestIntact().generation == 4)
                #expect(try await other.expectGuestIntact(pid: untouched.pid).generation == 1)

                #expect(try await scopeSlices(system) == ["perdure-web.slice", #"perdure-web\x2d1.slice"#])

                let vm = try await web.status().pid
                try await other.systemctl("restart")
                try await other.killSupervisor()
                #expect(try await other.expectGuestIntact().generation == 2)
                try await web.expectGuestIntact(pid: vm)

                try await other.systemctl("stop")
                try await other.expectGone()
                try await web.expectGuestIntact(pid: vm)
                try await other.startAgain()
                try await web.systemctl("stop")
                try await web.expectGone()
                try await other.expectGuestIntact()
            }
        }

        private func scopeSlices(_ system: BootedSystem) async throws -> [String] {
            try await system.run(["systemctl", "show", "--property=Slice", "--value", "perdure-*.scope"]).stdout
                .split(separator: "\n").map(String.init).sorted()
        }
    }
}
