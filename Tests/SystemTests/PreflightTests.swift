import Foundation
import SystemTestSupport
import Testing

/// What `perdure check --handover --json` prints.
private struct HandoverCheck: Decodable {
    struct Finding: Decodable {
        let severity: String
        let identifier: String
        let sentence: String
        let remedy: String
    }

    let qemu: String?
    let qemuVersion: String?
    var findings: [Finding]

    var blockers: [String] { findings.filter { $0.severity == "blocker" }.map(\.identifier) }

    func sentences(_ identifier: String) -> [String] {
        findings.filter { $0.identifier == identifier }.map(\.sentence)
    }
}

extension SystemTests {
    /// What is known of a handover before the guest is paused.
    @Suite struct PreflightTests {
        private func check(_ guest: RunningGuest, qemu: String? = nil, status: Int32 = 0) async throws -> HandoverCheck
        {
            let command =
                ["perdure", "check", "--handover", "--json", guest.name] + (qemu.map { ["--qemu", $0] } ?? [])
            let output = try await guest.system.run(command, check: false)
            #expect(output.status == status, "\(output.stdout)\(output.stderr)")
            var found = try JSONDecoder().decode(HandoverCheck.self, from: Data(output.stdout.utf8))
            #expect(found.findings.allSatisfy { !$0.sentence.isEmpty && !$0.remedy.isEmpty })
            // What is said of this host is for its owner.
            let setting = try? String(
                contentsOfFile: "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
                encoding: .utf8
            )
            let isOff = setting.map { $0.contains("[never]") || $0.contains("[deny]") } ?? false
            // Where the definition can't be read, nothing else is looked at.
            if found.qemu != nil {
                #expect(found.findings.contains { $0.identifier == "shared-huge-pages-off" } == isOff)
            }
            found.findings.removeAll { $0.identifier == "shared-huge-pages-off" }
            return found
        }

        @Test func blockersRefuseAHandoverBeforeThePause() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan()
                plan.machine = "pc"
                plan.sections = ["[CPU]", "Count=2"]
                let guest = try await RunningGuest(plan, on: system)
                let pid = try await guest.status().pid
                let clean = try await check(guest)
                #expect(clean.findings.map(\.identifier) == [])
                #expect(clean.qemu == GuestPlan.realQEMU)
                #expect(try await guest.perdure("check", "--handover").stdout.contains("can be handed over"))

                let obstacles = [
                    (QEMUWrapper.smallBuild, ["machine-unknown", "device-missing"], "no machine type 'pc-i440fx-"),
                    (.fewerFeatures, ["cpu-bits-missing"], " cx16 "), (.ends, ["qemu-unusable"], "farewell"),
                ]
                for (wrapper, blockers, text) in obstacles {
                    let qemu = try await wrapper.install(on: system)
                    let found = try await check(guest, qemu: qemu, status: 75)
                    #expect(found.blockers == blockers)
                    #expect(found.sentences(blockers[0]).first?.contains(text) == true, "\(found)")
                    let refused = try await guest.perdure("upgrade", "--qemu", qemu, check: false)
                    #expect(refused.status == 75)
                    #expect(refused.stderr.contains(text))
                }
                // Only a VM process that has them all can tell.
                let unlike = try await QEMUWrapper.unlikeCPUs.install(on: system)
                let refused = try await guest.perdure("upgrade", "--qemu", unlike, check: false)
                #expect(refused.status == 75)
                let words = "CPU 1 of the guest, a 'qemu64-v1', would lose CPUID 1h.0 ECX bit 13 in the next QEMU"
                #expect(refused.stderr.contains(words), "\(refused.stderr)")
                #expect(try await guest.journal(.handoverUndone).last?["PERDURE_STEP"] == "compare")
                #expect(try await guest.journal(.handoverUndone).count == obstacles.count + 1)

                // A restart is a handover, too.
                try await guest.define { $0.qemu = "/usr/local/bin/qemu-smallBuild" }
                try await guest.systemctl("restart")
                let undone = try #require(try await guest.journal(.handoverUndone).last)
                #expect(undone["PERDURE_FINDINGS"] == "machine-unknown device-missing")
                #expect(undone["PERDURE_STEP"] == "probe-qemu")
                let status = try await guest.expectGuestIntact(pid: pid)
                #expect(status.generation == 1)
                #expect(status.lastPauseUsec == nil)
            }
        }

        @Test func changesAndReplacedProgramsAreNamed() async throws {
            try await withBootedSystem { system in
                let copy = "/usr/bin/qemu-copy"
                let install = "cp --reflink=auto \(GuestPlan.realQEMU) \(copy).new && mv \(copy).new \(copy)"
                try await system.run(["sh", "-c", install])
                var plan = GuestPlan()
                plan.qemu = copy
                let guest = try await RunningGuest(plan, on: system)
                #expect(try await check(guest).findings.map(\.identifier) == [])
                #expect(try await !guest.status().outdated)

                try await guest.define {
                    $0.ramMiB += 64
                    $0.handover = ["SaveTimeoutSec=7s"]
                }
                try await system.run(["sed", "-i", "s/^Format=.*/&\\nDiscard=no/", guest.plan.path])
                try await system.run(["sh", "-c", install])
                #expect(try await guest.status().outdated)
                #expect(try await guest.perdure("status").stdout.contains("has been replaced on disk"))
                let found = try await check(guest)
                #expect(found.sentences("needs-power-cycle").map { $0.contains("[RAM main] Size=") } == [true])
                let applied = found.sentences("applied-by-handover")
                #expect(
                    applied.map { $0.prefix { $0 != "=" } } == ["[Disk root] Discard", "[Handover] SaveTimeoutSec"]
                )
                #expect(found.sentences("qemu-outdated").first?.contains("'\(copy)'") == true)

                try await guest.perdure("upgrade")
                let after = try await guest.expectGuestIntact()
                #expect(!after.outdated)
                let vm = try #require(try guest.vmProcesses().first)
                #expect(vm.arguments.contains { $0.contains(#""discard":"ignore""#) })
                #expect(try await check(guest).findings.map(\.identifier) == ["needs-power-cycle"])

                try await system.write(guest.plan.path, "[Guest]\nMachin=q35\n")
                #expect(try await check(guest, status: 75).blockers == ["definition-invalid"])
                try await guest.expectGuestIntact(pid: after.pid)
            }
        }
    }
}
