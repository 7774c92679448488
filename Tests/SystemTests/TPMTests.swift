import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// A guest that counts in its TPM's memory, and extends one of its registers, all the time.
    @Suite struct TPMTests {
        private static let handovers = 20
        private static let files = "/var/lib/perdure/web/tpm"

        @Test func tpmCountsOnceAndForAll() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(crash: ["OnCrash=restart"])
                plan.sections = ["[TPM]"]
                plan.options.append("tpm=1")
                let guest = try await RunningGuest(plan, on: system)
                try await guest.console.wait(for: "tpm counter=3")
                try await guest.crossHandovers(Self.handovers) { try await guest.expectTPMIsUsed() }
                try await guest.perdure("save")
                try await guest.perdure("exec")
                try await guest.perdure("load")
                try await guest.expectTPMIsUsed()
                #expect(try await guest.expectGuestIntact().generation >= Self.handovers + 1)
                try await expectConfined(guest)

                // Neither what ends in order nor what does not takes the TPM back to what it was.
                let vm = try #require(try guest.vmProcesses().first)
                let crashedAt = try guest.lastCount()
                try await system.run(["kill", "-KILL", "\(vm.pid)"])
                try await guest.followStart(2)
                try await guest.expectTPMHasGoneOn(from: crashedAt)
                let stoppedAt = try guest.lastCount()
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try system.processes(named: "swtpm").isEmpty)
                try await guest.startAgain()
                try await guest.expectTPMHasGoneOn(from: stoppedAt)

                try await refusedWithoutTPM(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                let deleted = try await guest.perdure("delete", "--disks").stdout
                #expect(deleted.contains("Deleted '\(Self.files)/tpm2-00.permall'."), "\(deleted)")
                #expect(try await system.run(["ls", "/var/lib/perdure"]).stdout.contains("web") == false)
            }
        }

        /// As the guest's user, without a network, in the VM process's scope; and what it keeps is for nobody else.
        private func expectConfined(_ guest: RunningGuest) async throws {
            let vm = try #require(try guest.vmProcesses().first)
            let emulators = try guest.system.processes(named: "swtpm")
            #expect(emulators.count == 1)
            let emulator = try #require(emulators.first)
            for line in ["Uid:", "Gid:", "CapEff:", "NoNewPrivs:"] {
                let pair = try [vm.hostPID, emulator.hostPID].map { pid in
                    try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8).split(separator: "\n")
                        .first { $0.hasPrefix(line) }
                }
                #expect(pair[0] == pair[1], "\(pair)")
            }
            #expect(emulator.cgroup == vm.cgroup)
            let names = try await guest.system.run(["ls", "-A", "/var/lib/perdure/web"]).stdout
            #expect(!names.contains("rehearsal"), "\(names)")
            let listing = try await guest.system.run(["stat", "-c", "%a %u", Self.files]).stdout
            #expect(listing.hasPrefix("700 ") && listing != "700 0\n", "\(listing)")
        }

        private func refusedWithoutTPM(_ guest: RunningGuest) async throws {
            let emulator = try #require(try guest.system.processes(named: "swtpm").first)
            try await guest.system.run(["kill", "-KILL", "\(emulator.pid)"])
            try await guest.system.waitUntil("the TPM to be gone") {
                try await guest.perdure("check", "--handover", check: false).stdout.contains("[tpm-gone]")
            }
            let upgrade = try await guest.perdure("upgrade", check: false)
            #expect(upgrade.status == 75 && upgrade.stderr.contains("has ended"), "\(upgrade.stderr)")
        }
    }
}

extension RunningGuest {
    fileprivate func lastCount() throws -> Int {
        try console.update()
        // The last line may not be whole yet.
        let lines = String(decoding: console.bytes, as: UTF8.self).split(separator: "\n").dropLast()
        let counts = lines.compactMap { line in
            line.range(of: "tpm counter=").flatMap { Int(line[$0.upperBound...].prefix { $0.isNumber }) }
        }
        return try #require(counts.last)
    }

    fileprivate func expectTPMIsUsed() async throws {
        try await console.wait(for: "tpm counter=\(try lastCount() + 3)")
        #expect(!String(decoding: console.bytes, as: UTF8.self).contains("error tpm"))
    }

    /// The counter is where it was when the guest ended, a moment after that count.
    fileprivate func expectTPMHasGoneOn(from count: Int) async throws {
        try await console.wait(for: "tpm found=")
        let text = String(decoding: console.bytes, as: UTF8.self)
        let begin = try #require(text.range(of: "tpm found=", options: .backwards))
        let found = try #require(Int(text[begin.upperBound...].prefix { $0.isNumber }))
        #expect((count..<count + 200).contains(found), "\(found) after \(count)")
        try await expectTPMIsUsed()
        try await expectGuestIntact()
    }
}
