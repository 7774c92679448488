import SystemTestSupport
import Testing

extension SystemTests {
    /// Disks that do not answer for a time: a handover is given up, and the guest goes on.
    @Suite struct SlowDiskTests {
        private static let plan = GuestPlan(
            testedMiB: 16,
            diskFormat: "qcow2",
            options: ["tick_ms=100", "disk_ms=20"],
            handover: ["SyncTimeoutSec=2", "StopTimeoutSec=2", "ContinueTimeoutSec=2"]
        )

        /// Mounts a filesystem that can be frozen. Freezing the lower of two makes flushes of the upper one wait.
        private func mount(_ size: String, at directory: String, file: String, on system: BootedSystem) async throws {
            let script = #"""
                [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
                for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
                    [ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number
                done
                mkdir -p "$1" && truncate -s "$2" "$3" && mkfs.ext4 -q -F "$3" && mount -o loop "$3" "$1"
                """#
            try await system.run(["sh", "-ec", script, "sh", directory, size, file])
        }

        /// Whatever `body` does, nothing is left frozen, for that would outlive this system.
        private func whileFrozen(
            _ directory: String,
            _ system: BootedSystem,
            _ body: () async throws -> Void
        ) async throws {
            try await system.run(["fsfreeze", "--freeze", directory])
            do {
                try await body()
            } catch {
                _ = try? await system.run(["fsfreeze", "--unfreeze", directory])
                throw error
            }
            try await system.run(["fsfreeze", "--unfreeze", directory])
        }

        @Test func stopThatCannotDrainADiskIsTakenBack() async throws {
            try await withBootedSystem { system in
                try await mount("96M", at: "/var/lib/guests", file: "/var/lib/disk.img", on: system)
                let guest = try await RunningGuest(Self.plan, on: system)
                let pid = try await guest.expectGuestIntact().pid
                try await whileFrozen("/var/lib/guests", system) {
                    // A write of the guest's waits now.
                    try await guest.console.wait(forTick: guest.console.lastTick + 3)
                    let upgrade = try await guest.perdure("upgrade", check: false)
                    #expect(upgrade.status == 75)
                    #expect(upgrade.stderr.contains("'stop'"))
                    let undone = try #require(try await guest.journal(.handoverUndone).last)
                    #expect(undone["PERDURE_STEP"] == "stop-guest")
                    #expect(try await guest.status().pid == pid)
                    #expect(try guest.vmProcesses().map(\.pid) == [pid])
                }
                // The stop that came late, and the continue after it.
                #expect(try await guest.expectGuestIntact(pid: pid).generation == 1)
                try await guest.perdure("upgrade")
                #expect(try await guest.expectGuestIntact().generation == 3)

                try await supervisorMayChangeMeanwhile(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await guest.checkedDiskLog().problems == [])
            }
        }

        /// The next supervisor finds a VM process that does not answer, and that has a stop and no continue to carry out.
        private func supervisorMayChangeMeanwhile(_ guest: RunningGuest) async throws {
            let pid = try await guest.status().pid
            try await whileFrozen("/var/lib/guests", guest.system) {
                try await guest.console.wait(forTick: guest.console.lastTick + 3)
                #expect(try await guest.perdure("upgrade", check: false).status == 75)
                try await guest.killSupervisor()
                #expect(try await guest.status().state == "running")
            }
            try await guest.expectGuestIntact(pid: pid)
        }

        @Test func flushThatDoesNotEndIsGivenUp() async throws {
            try await withBootedSystem { system in
                try await mount("192M", at: "/var/lib/lower", file: "/var/lib/lower.img", on: system)
                try await mount("96M", at: "/var/lib/guests", file: "/var/lib/lower/upper.img", on: system)
                let guest = try await RunningGuest(Self.plan, on: system)
                let pid = try await guest.expectGuestIntact().pid
                try await whileFrozen("/var/lib/lower", system) {
                    try await guest.console.wait(forTick: guest.console.lastTick + 3)
                    for reason in ["were not written out", "still being written out"] {
                        let upgrade = try await guest.perdure("upgrade", check: false)
                        #expect(upgrade.status == 75)
                        #expect(upgrade.stderr.contains(reason))
                        let undone = try await guest.journal(.handoverUndone).last
                        #expect(undone?["PERDURE_STEP"] == "sync-disks")
                        // It is not even paused.
                        try await guest.expectGuestIntact(pid: pid)
                    }
                }
                try await guest.expectGuestIntact(pid: pid)
                try await guest.perdure("upgrade")
                try await guest.expectGuestIntact()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await guest.checkedDiskLog().problems == [])
            }
        }
    }
}
