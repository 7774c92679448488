import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// The present package against one that is really older, as `System/build-older-package` makes it from the history.
    @Suite(
        .enabled(if: isSoak, "PERDURE_TEST_SOAK asks for it"),
        .enabled(if: DebianPackage.isBuilt, "'make deb' has not been run"),
        .enabled(if: (try? DebianPackage.older()) != nil, "'make older-package' has not been run")
    )
    struct OlderVersionTests {
        /// What an older version makes of a guest.
        private enum Verdict: Equatable {
            /// It has handed the guest over.
            case understood
            /// It has not touched the guest, and said why.
            case refused
        }

        /// A guest that the older version has started; one that the present one has, and the older one could have; and one
        /// with a device that the older one does not know.
        @Test func guestsOutliveUpgradesAndDowngrades() async throws {
            let present = try #require(try DebianPackage.built())
            let older = try #require(try DebianPackage.older())
            try await withBootedSystem(over: nil, installing: "") { system in
                // Images for containers forbid that services are started; this is none.
                try await system.run(["rm", "-f", "/usr/sbin/policy-rc.d"])
                try await system.install(older)
                let first = try await guest("web", on: system)
                first.plan.unpinned = true
                try await first.expectGuestIntact()
                #expect(try await replace(by: present, under: [first]) == [.understood])

                let second = try await guest("db", on: system)
                let third = try await guest("new", with: ["[RNG]"], on: system)
                let guests = [first, second, third]
                for _ in 1...2 {
                    second.plan.unpinned = true
                    third.plan.unpinned = true
                    #expect(try await replace(by: older, under: guests) == [.understood, .understood, .refused])
                    // The older one has forgotten the third's device, so that nobody can hand that guest over any more.
                    #expect(try await replace(by: present, under: guests) == [.understood, .understood, .refused])
                }
                for guest in guests {
                    let upgrade = try await guest.perdure("upgrade", check: false)
                    #expect(upgrade.status == (guest === third ? 75 : 0), "\(upgrade)")
                    try await guest.expectGuestIntact()
                    try await guest.systemctl("stop")
                    try await guest.expectGone()
                    #expect(try guest.diskLog().problems == [])
                }
            }
        }

        private func guest(
            _ name: String,
            with sections: [String] = [],
            on system: BootedSystem
        ) async throws -> RunningGuest {
            var plan = GuestPlan(name: name, options: ["tick_ms=100"])
            plan.sections = sections
            return try await RunningGuest(plan, on: system)
        }

        /// Installs another version, and expects new supervisors and unharmed guests.
        private func replace(by package: DebianPackage, under guests: [RunningGuest]) async throws -> [Verdict] {
            let system = guests[0].system
            var before: [(supervisor: Int32, pids: [Int32], refusals: Int)] = []
            for guest in guests {
                let refusals = try await refusals(guest).count
                before.append((try await guest.mainPID(), try guest.vmProcesses().map(\.pid), refusals))
            }
            try await system.install(package)
            #expect(try await system.installedVersion(of: "perdure") == package.version)
            var verdicts: [Verdict] = []
            for (guest, before) in zip(guests, before) {
                #expect(try await guest.mainPID() != before.supervisor)
                try guest.console.update()
                try await guest.console.wait(forTick: guest.console.lastTick + 5)
                let pids = try guest.vmProcesses().map(\.pid)
                let refusals = try await refusals(guest).dropFirst(before.refusals)
                if refusals.isEmpty {
                    try await guest.expectGuestIntact()
                    #expect(pids.count == 1 && pids != before.pids, "\(guest.name)")
                    verdicts.append(.understood)
                } else {
                    #expect(pids == before.pids, "\(guest.name)")
                    #expect(refusals.allSatisfy { $0["PERDURE_REASON"]?.isEmpty == false })
                    verdicts.append(.refused)
                }
            }
            return verdicts
        }

        private func refusals(_ guest: RunningGuest) async throws -> [[String: String]] {
            try await guest.journal(.unclear) + guest.journal(.handoverUndone)
        }
    }
}
