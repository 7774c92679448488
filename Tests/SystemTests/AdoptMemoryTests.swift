import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// QEMUs that Perdure did not start, with their RAM in a file that has a name.
    @Suite struct AdoptMemoryTests {
        private static let file = "/dev/shm/web.ram"
        private static let memfd = "memory-backend-memfd,id=mem,size=128M,share=on"
        private static let plan = GuestPlan(diskFormat: "qcow2", crash: ["Dump=yes"])

        /// Has the RAM be something else.
        private static func memory(_ object: String) -> (inout [String]) -> Void {
            { arguments in arguments = arguments.map { $0 == memfd ? object : $0 } }
        }

        private static func named(_ path: String, _ options: String = "") -> String {
            "memory-backend-file,id=mem,size=128M,share=on,mem-path=\(path)\(options)"
        }

        @Test func aNamedFileIsTheRAM() async throws {
            try await withBootedSystem { system in
                let foreign = try await ForeignQEMU(
                    Self.plan,
                    unit: "by-hand",
                    on: system,
                    changing: Self.memory(Self.named(Self.file))
                )
                try await foreign.waitForTicks(3)
                try await system.run(["chmod", "640", Self.file])
                try await system.run(["chown", "daemon:adm", Self.file])
                let before = try await foreign.fingerprint()
                try await expectRefusals(system)
                try await foreign.allowHalts()
                try await expectLeftAlone(foreign, before, system)
                try await foreign.forbidHalts()
                // It ends with the guest then, and nobody can shorten it any more.
                try await system.run(["rm", Self.file])
                let pid = try await foreign.pid()
                _ = try await foreign.perdure()
                #expect(try system.processes().filter { $0.pid == pid }.isEmpty)
                try await expectOneLikeAnyOther(foreign, system)
            }
        }

        private func access(_ system: BootedSystem) async throws -> String {
            try await system.run(["stat", "-c", "%U:%G %a", Self.file]).stdout
        }

        /// Wherever it is cut off, the file is its owner's again, and QEMU as it was.
        private func expectLeftAlone(_ foreign: ForeignQEMU, _ before: [String], _ system: BootedSystem) async throws {
            let owner = "daemon:adm 640\n"
            for step in ["handover read-definition before", "handover load-state after"] {
                let supervisor = try await foreign.haltAdoption(at: step)
                #expect(try await access(system).hasSuffix(" 600\n"))
                try await system.run(["kill", "-KILL", "\(supervisor)"])
                let end = try await foreign.commandEnd()
                #expect(end.status == "75" && end.errors.contains("runs on as it was"), "\(step): \(end.errors)")
                try await foreign.waitForLettingGo()
                try await foreign.forgetCommand()
                #expect(try await foreign.fingerprint() == before, "\(step)")
                #expect(try await access(system) == owner)
            }
            // Without its command the supervisor can't tell anybody; the file and the definition stay as they are.
            let supervisor = try await foreign.haltAdoption(at: "handover read-definition before")
            try await foreign.killCommand()
            _ = try await foreign.commandEnd()
            try await system.run(["kill", "-KILL", "\(supervisor)"])
            try await foreign.waitForLettingGo()
            try await foreign.forgetCommand()
            #expect(try await foreign.fingerprint() == before)
            try await system.run(["rm", foreign.plan.path])
            try await foreign.waitForTicks(2)
        }

        /// RAM that can't be taken over, each with its reason.
        private func expectRefusals(_ system: BootedSystem) async throws {
            var plan = Self.plan
            (plan.name, plan.options) = ("other", [])
            let cases = [
                ("memory-backend-memfd,id=mem,size=128M,share=on,seal=off", "('seal=off')"),
                ("memory-backend-file,id=mem,size=128M,share=off,mem-path=/dev/shm/private", "is private to it"),
                (Self.named("/dev/shm/longer"), "only a whole file is taken over"),
                (
                    Self.named("/dev/shm/discarded", ",discard-data=on"),
                    "'discard-data=on' of '-object memory-backend-file'"
                ),
            ]
            try await system.run(["truncate", "-s", "130M", "/dev/shm/longer"])
            for (object, reason) in cases {
                let odd = try await ForeignQEMU(plan, unit: "odd", on: system) { arguments in
                    Self.memory(object)(&arguments)
                    arguments = arguments.map { $0.replacing("2222", with: "2223") }
                }
                let before = try await odd.fingerprint()
                let refused = try await odd.perdure(check: false)
                #expect(refused.status == 75 && refused.stderr.contains(reason), "\(object): \(refused.stderr)")
                #expect(try await odd.fingerprint() == before)
                try await system.run(["systemctl", "stop", "odd"])
            }
        }

        private func expectOneLikeAnyOther(_ foreign: ForeignQEMU, _ system: BootedSystem) async throws {
            try await system.write("\(foreign.plan.path).d/dump.conf", "[Crash]\nDump=yes\n")
            let guest = try await RunningGuest(running: foreign.plan, on: system)
            let begin = try foreign.console
            _ = try await guest.nextTicks(after: begin)
            try await guest.perdure("upgrade", "--dry-run")
            for _ in 1...2 { try await guest.perdure("upgrade") }
            try await guest.killSupervisor()
            try await guest.systemctl("restart")
            let last = try await guest.nextTicks(after: begin)
            #expect(last.ramErrors == 0 && last.diskErrors == 0 && last.sweeps > 0)
            #expect(try await guest.perdure("diff").stdout.contains("runs with what its definition says"))
            // Its memory is kept like any other's.
            let pid = try #require(try await guest.status().pid)
            try await system.run(["kill", "-KILL", "\(pid)"])
            try await system.waitUntil("the RAM to be kept") { try await !guest.journal(.dumped).isEmpty }
            let path = try #require(try await guest.journal(.dumped).last?["PERDURE_DUMP"])
            let size = try await system.run(["stat", "-c", "%s", path]).stdout
            #expect(Int(size.filter(\.isNumber)) ?? 0 > 128 << 20)
            // From its next start on it is in a memory file.
            try await system.waitUntil("the unit to end") {
                try await system.property(guest.unit, "ActiveState") == "failed"
            }
            try await system.run(["systemctl", "reset-failed"])
            try await guest.startAgain()
            let next = try #require(try await guest.status().pid)
            #expect(try await system.read("/proc/\(next)/maps").contains("memfd:ram.main"))
            try await guest.systemctl("stop")
        }

        private static let pool = "/proc/sys/vm/nr_hugepages"
        /// For a guest of 128 MiB.
        private static let pages = 64

        /// On the host's own huge pages, which are given back afterwards.
        @Test func aFileOfHugePages() async throws {
            let before = try String(contentsOfFile: Self.pool, encoding: .utf8)
            let wanted = Self.pages + (Int(before.filter(\.isNumber)) ?? 0)
            try? "\(wanted)".write(toFile: Self.pool, atomically: false, encoding: .utf8)
            defer { try? before.write(toFile: Self.pool, atomically: false, encoding: .utf8) }
            let pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
            let free = try String(contentsOfFile: pool, encoding: .utf8)
            guard Int(free.filter(\.isNumber)) ?? 0 >= Self.pages else {
                return print("aFileOfHugePages: this host sets no huge pages aside")
            }
            try await withBootedSystem { system in
                try await system.run(["mkdir", "/run/huge"])
                try await system.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "huge", "/run/huge"])
                let foreign = try await ForeignQEMU(
                    GuestPlan(testedMiB: 16, diskFormat: "qcow2"),
                    unit: "by-hand",
                    on: system,
                    changing: Self.memory(Self.named("/run/huge/ram"))
                )
                try await foreign.waitForTicks(2)
                _ = try await foreign.perdure()
                let definition = try await system.read(foreign.plan.path)
                #expect(definition.contains("[RAM main]\nSize=128M\nHugePages=2M\n"), "\(definition)")
                let guest = try await RunningGuest(running: foreign.plan, on: system)
                try await guest.perdure("upgrade")
                let pid = try #require(try await guest.status().pid)
                let maps = try await system.run(["grep", "-A4", "/run/huge/ram", "/proc/\(pid)/smaps"]).stdout
                #expect(maps.contains(" rw-s ") && maps.contains(/KernelPageSize: +2048 kB/), "\(maps)")
                try await system.waitUntil("a tick on the new console") {
                    try guest.console.update()
                    return guest.console.lastTick > 0
                }
                try await guest.console.wait(forTick: guest.console.lastTick + 2)
                let all = try foreign.console + Array(guest.console.bytes)
                #expect(try GuestConsole(all).verified().ramErrors == 0)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }
    }

    /// QEMUs that leave only a named file in place.
    @Suite(.needs(.trixie)) struct AdoptNewerQEMUTests {
        private static let plan = GuestPlan(diskFormat: "qcow2")

        /// On a disk's file system.
        @Test func onlyANamedFileIsLeftInPlace() async throws {
            try await withBootedSystem(over: .trixie) { system in
                var plan = Self.plan
                (plan.name, plan.options) = ("other", [])
                let memfd = try await ForeignQEMU(plan, unit: "memfd", on: system) { arguments in
                    arguments = arguments.map { $0.replacing("2222", with: "2223") }
                }
                let refused = try await memfd.perdure(check: false)
                #expect(refused.status == 75 && refused.stderr.contains("would copy all of the RAM 'mem'"))
                try await system.run(["systemctl", "stop", "memfd"])

                let foreign = try await ForeignQEMU(Self.plan, unit: "by-hand", on: system) { arguments in
                    arguments = arguments.map {
                        $0.replacing("memory-backend-memfd,", with: "memory-backend-file,mem-path=/var/lib/guests/ram,")
                    }
                }
                try await foreign.waitForTicks(3)
                let before = try await foreign.fingerprint()
                try await foreign.allowHalts()
                let supervisor = try await foreign.haltAdoption(at: "handover load-state after")
                // Nothing of the RAM is in what was saved.
                let find =
                    "for f in /proc/\(supervisor)/fd/*; do case $(readlink $f) in *memfd:vmstate*) stat -Lc %s $f; esac; done"
                let sizes = try await system.run(["sh", "-c", find]).stdout.split(separator: "\n").compactMap {
                    Int($0)
                }
                #expect(!sizes.isEmpty && sizes.allSatisfy { (1..<(8 << 20)).contains($0) }, "\(sizes)")
                try await system.run(["kill", "-KILL", "\(supervisor)"])
                #expect(try await foreign.commandEnd().status == "75")
                try await foreign.waitForLettingGo()
                try await foreign.forgetCommand()
                #expect(try await foreign.fingerprint() == before)
                try await foreign.forbidHalts()
                try await foreign.waitForTicks(2)

                _ = try await foreign.perdure()
                let guest = try await RunningGuest(running: foreign.plan, on: system)
                let begin = try foreign.console
                try await guest.perdure("upgrade")
                try await guest.systemctl("restart")
                try await system.waitUntil("a tick on the new console") {
                    try guest.console.update()
                    return guest.console.lastTick > 0
                }
                try await guest.console.wait(forTick: guest.console.lastTick + 3)
                let last = try GuestConsole(begin + Array(guest.console.bytes)).verified()
                #expect(last.ramErrors == 0 && last.diskErrors == 0)
                let status = try await guest.status()
                #expect(status.generation == 3 && status.qemuVersion?.hasPrefix("10.0.") == true)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }
    }
}
