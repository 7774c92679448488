import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// A guest whose memory changes while it runs.
    @Suite struct MemoryTests {
        private static let handovers = 20

        /// The guest takes it in, and rewrites and checks some of it all the time.
        @Test func memoryIsPluggedAndUnplugged() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(ramMiB: 256)
                plan.sections += ["[Memory]", "MaximumSize=1G", "Slots=2", "Lock=yes", "[CPU]", "Cores=2"]
                plan.options.append("dimm=1")
                let guest = try await RunningGuest(plan, on: system)
                let pieces = try await guest.pieces(after: 0)
                try await expectRefusals(guest)

                try await expectNothingHalfDone(guest)
                #expect(
                    try await memory("add", guest, "more", "128M").contains(
                        "main 256 MiB, more 128 MiB of at most 1024"
                    )
                )
                guest.plan.added = ["ram.more"]
                try await guest.console.wait(for: "dimm pieces=\(pieces + 1) ")
                try await guest.expectDIMMIsUsed(plugged: true)
                let first = try #require(try await guest.journal(.memoryAdded).last)
                #expect(first["PERDURE_MEMORY"] == "more" && first["PERDURE_MEMORY_BYTES"] == "\(128 << 20)")
                for number in 1...Self.handovers {
                    try await guest.perdure("upgrade")
                    if number == Self.handovers / 2 { try await guest.killSupervisor() }
                }
                let status = try await guest.expectGuestIntact()
                #expect(status.generation == Self.handovers + 1)
                try await guest.expectDIMMIsUsed(plugged: true)
                let arguments = try #require(try guest.vmProcesses().first).arguments
                #expect(arguments.contains("pc-dimm,id=dimm.more,memdev=ram.more,slot=0,addr=0x100000000"))
                #expect(arguments.contains("2,sockets=1,cores=2,threads=1"))
                let locked = try await system.run(["grep", "VmLck:", "/proc/\(try #require(status.pid))/status"]).stdout
                let kibibytes = locked.split(separator: " ").dropLast().last.flatMap { Int($0.filter(\.isNumber)) } ?? 0
                #expect(kibibytes >= (256 + 128) << 10, "\(locked)")

                // Another in the running VM process, which was started with the first.
                try await memory("add", guest, "last", "256M")
                guest.plan.added = ["ram.last", "ram.more"]
                try await guest.console.wait(for: "dimm pieces=\(pieces + 3) ")
                try await guest.perdure("upgrade", "--dry-run")
                #expect(
                    try await system.run(["perdure", "memory", "add", "web", "third", "128M"], check: false).status
                        == 75
                )

                // What of the guest was in there moves to where there is room.
                try await memory("remove", guest, "more")
                try await memory("remove", guest, "last")
                guest.plan.added = []
                try await guest.perdure("upgrade")
                try await guest.expectDIMMIsUsed(plugged: false)
                try await guest.expectGuestIntact()
                #expect(try await guest.journal(.memoryRemoved).map { $0["PERDURE_MEMORY"] } == ["more", "last"])
                try await memory("add", guest, "more", "128M")
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        private static let largePool = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"

        /// One page of 1 GiB, where the host has so much in one piece. It is given back afterwards.
        @Test func aPageOfOneGiB() async throws {
            guard let before = try? String(contentsOfFile: Self.largePool, encoding: .utf8) else {
                return print("There are no huge pages of 1 GiB on this machine.")
            }
            func write(_ count: String) throws {
                try count.write(toFile: Self.largePool, atomically: false, encoding: .utf8)
            }
            let had = Int(before.filter(\.isNumber)) ?? 0
            defer { try? write("\(had)") }
            try? write("\(had + 1)")
            guard Int(try String(contentsOfFile: Self.largePool, encoding: .utf8).filter(\.isNumber)) == had + 1 else {
                return print("There is no free piece of 1 GiB in this machine's memory.")
            }
            try await withBootedSystem { system in
                let plan = GuestPlan(ramMiB: 1024, diskFormat: nil)
                try await system.write("/etc/perdure/web.guest.d/pages.conf", "[RAM main]\nHugePages=1G\n")
                let guest = try await RunningGuest(plan, on: system)
                for _ in 0..<3 { try await guest.perdure("upgrade") }
                try await guest.killSupervisor()
                #expect(try await guest.expectGuestIntact().generation == 4)
                let pid = try #require(try await guest.status().pid)
                let maps = try await system.run(["grep", "-A25", "/memfd:ram.main", "/proc/\(pid)/smaps"]).stdout
                #expect(maps.contains(/KernelPageSize: +1048576 kB/), "\(maps)")
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        private static let pool = "/proc/sys/vm/nr_hugepages"
        /// For a guest of 128 MiB, and for what a rehearsal copies.
        private static let pages = 72

        /// The host's own huge pages, which are given back afterwards.
        @Test func hugePages() async throws {
            let before = try String(contentsOfFile: Self.pool, encoding: .utf8)
            try? "\(Self.pages + (Int(before.filter(\.isNumber)) ?? 0))".write(
                toFile: Self.pool,
                atomically: false,
                encoding: .utf8
            )
            defer { try? before.write(toFile: Self.pool, atomically: false, encoding: .utf8) }
            let free = try String(
                contentsOfFile: "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                encoding: .utf8
            )
            guard Int(free.filter(\.isNumber)) ?? 0 >= Self.pages else {
                return print("hugePages: this host sets no huge pages aside")
            }
            try await withBootedSystem { system in
                var plan = GuestPlan(testedMiB: 16)
                plan.crash = ["Dump=yes"]
                try await system.write("/etc/perdure/web.guest.d/pages.conf", "[RAM main]\nHugePages=2M\n")
                let guest = try await RunningGuest(plan, on: system)
                for _ in 1...Self.handovers { try await guest.perdure("upgrade") }
                try await guest.perdure("upgrade", "--dry-run")
                try await guest.killSupervisor()
                let status = try await guest.expectGuestIntact()
                #expect(status.generation > Self.handovers)
                let pid = try #require(status.pid)
                let maps = try await system.run(["grep", "-A4", "memfd:ram.main", "/proc/\(pid)/smaps"]).stdout
                #expect(maps.contains(" rw-s ") && maps.contains(/KernelPageSize: +2048 kB/), "\(maps)")
                // The kernel does not copy from such files; a dump has the RAM all the same.
                try await system.run(["kill", "-KILL", "\(pid)"])
                try await system.waitUntil("the RAM to be kept") { try await !guest.journal(.dumped).isEmpty }
                let path = try #require(try await guest.journal(.dumped).last?["PERDURE_DUMP"])
                let size = try await system.run(["stat", "-c", "%s", path]).stdout
                #expect(Int(size.filter(\.isNumber)) ?? 0 > 128 << 20)
            }
        }

        @discardableResult
        private func memory(_ verb: String, _ guest: RunningGuest, _ words: String...) async throws -> String {
            try await guest.system.run(["perdure", "memory", verb, guest.name] + words, deadline: .seconds(120)).stdout
        }

        /// A supervisor that dies while QEMU has not answered yet leaves nothing that the next one can't make good.
        private func expectNothingHalfDone(_ guest: RunningGuest) async throws {
            let (system, name) = (guest.system, guest.name)
            let qemu = try #require(try guest.vmProcesses().first).hostPID
            let stored = try await guest.storedDescriptors()
            #expect(kill(qemu, SIGSTOP) == 0)
            let command = Task {
                try await system.run(["perdure", "memory", "add", name, "half", "128M"], check: false)
            }
            do {
                try await system.waitUntil("the memory to be stored") {
                    try await guest.storedDescriptors() == stored + 1
                }
                let old = try await guest.mainPID()
                try await system.run(["kill", "-KILL", "\(old)"])
                #expect(kill(qemu, SIGCONT) == 0)
                try await guest.waitForSupervisor(after: old)
            } catch {
                _ = kill(qemu, SIGCONT)
                throw error
            }
            #expect(try await command.value.status != 0)
            try await system.waitUntil("the memory to be given back") {
                try await guest.storedDescriptors() == stored
            }
            #expect(try await guest.journal(.memoryAdded).isEmpty)
            try await guest.expectGuestIntact()
        }

        private func expectRefusals(_ guest: RunningGuest) async throws {
            let refusals = [
                (["add", "web", "main", "128M"], "has memory 'main' already"),
                (["add", "web", "No", "128M"], "cannot be the ID"),
                (["add", "web", "a", "100M"], "a multiple of 128M"),
                (["add", "web", "a", "0"], "a multiple of 128M"),
                (["add", "web", "a", "1G"], "may have 1024M in all"),
                (["remove", "web", "main"], "started with"),
                (["remove", "web", "a"], "it has none"),
            ]
            for (words, reason) in refusals {
                let output = try await guest.system.run(["perdure", "memory"] + words, check: false)
                #expect(output.status == 75, "\(words)")
                #expect(output.stderr.contains(reason), "\(output.stderr)")
            }
            try await guest.expectGuestIntact()
        }

        /// What the host does not have is refused before anything is started, or allowed.
        @Test func memoryThatTheHostDoesNotHave() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(ramMiB: 1 << 21)
                try await plan.write(to: system)
                #expect(try await system.run(["systemctl", "start", plan.unit], check: false).status != 0)
                var reason = try await system.journal("MESSAGE_ID=\(JournalMessage.startFailed.rawValue)").last?[
                    "MESSAGE"
                ]
                #expect(reason?.contains("or allow it by Overcommit=yes in [Memory]") == true, "\(reason ?? "")")
                plan.ramMiB = 1 << 18
                plan.sections = ["[RAM huge]", "Size=4096G", "HugePages=1G", "[Memory]", "Overcommit=yes"]
                try await plan.write(to: system)
                #expect(try await system.run(["systemctl", "start", plan.unit], check: false).status != 0)
                reason = try await system.journal("MESSAGE_ID=\(JournalMessage.startFailed.rawValue)").last?["MESSAGE"]
                #expect(reason?.contains("wants 4096 huge pages of 1G, and the host has") == true, "\(reason ?? "")")
                plan.ramMiB = 40 << 10
                plan.sections = ["[Memory]", "Overcommit=yes"]
                // The guest takes next to nothing of it.
                plan.options.append("tick_ms=200 mem=256M")
                let guest = try await RunningGuest(plan, on: system)
                try await guest.perdure("upgrade")
                try await guest.expectGuestIntact()
            }
        }
    }
}

extension RunningGuest {
    /// How many pieces of memory the guest has said that it has, when it has said so more than `count` times.
    func pieces(after count: Int) async throws -> Int {
        try await console.wait(for: "dimm pieces=", count: count + 1)
        let text = String(decoding: console.bytes, as: UTF8.self)
        return try #require(text.matches(of: /dimm pieces=([0-9]+)/).last.flatMap { Int($0.1) })
    }

    /// Some of the guest's memory is rewritten on and on: all of it in a DIMM, or none.
    func expectDIMMIsUsed(plugged: Bool) async throws {
        try console.update()
        let text = String(decoding: console.bytes, as: UTF8.self)
        let last = text.matches(of: /dimm sweeps=([0-9]+)/).last.flatMap { Int($0.1) } ?? 0
        try await console.wait(for: "dimm sweeps=\(last + 3) plugged=\(plugged ? 12_288 : 0) of 12288")
    }
}
