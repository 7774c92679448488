import Foundation
import SystemTestSupport
import Testing

/// A QEMU that a person has started by hand, with the test guest in it.
private final class ForeignQEMU {
    let system: BootedSystem
    let plan: GuestPlan
    let unit: String
    /// What is connected to by `perdure adopt`.
    var socket: String { "/run/\(unit).qmp" }
    var log: String { "/var/lib/guests/\(unit).console" }

    /// As docs/adopting.md has it, but for the paths.
    static func arguments(_ plan: GuestPlan, socket: String, log: String) -> [String] {
        [
            "-accel", "tcg", "-machine", "q35,memory-backend=mem", "-m", "128M", "-smp",
            "2,sockets=1,cores=2,threads=1",
            "-nodefaults", "-display", "none", "-object", "memory-backend-memfd,id=mem,size=128M,share=on",
            "-drive", "if=none,id=root,file=\(plan.image),format=qcow2,cache=none", "-device",
            "virtio-blk-pci,drive=root,serial=ADOPTED,addr=0x5", "-netdev",
            "user,id=nat,hostfwd=tcp:127.0.0.1:2222-:22",
            "-device", "virtio-net-pci,netdev=nat,mac=52:54:00:12:34:56", "-chardev", "file,id=con,path=\(log)",
            "-serial", "chardev:con", "-kernel", "\(GuestPlan.files)/vmlinuz", "-initrd",
            "\(GuestPlan.files)/initramfs.cpio.gz", "-append", plan.commandLine, "-uuid",
            "b8b5a1b0-9c3f-4b5e-8f3a-2f0f4c1d7e60", "-qmp", "unix:\(socket),server=on,wait=off",
        ]
    }

    /// Starts it, as a service that nobody looks after.
    init(
        _ plan: GuestPlan,
        unit: String,
        on system: BootedSystem,
        changing change: (inout [String]) -> Void = { _ in }
    ) async throws {
        (self.plan, self.unit, self.system) = (plan, unit, system)
        let make = "mkdir -p /var/lib/guests && { test -e \"$1\" || qemu-img create -q -f qcow2 \"$1\" 16M; }"
        try await system.run(["sh", "-c", make, "sh", plan.image])
        var arguments = Self.arguments(plan, socket: socket, log: log)
        change(&arguments)
        try await system.run(["systemd-run", "--quiet", "--unit", unit, GuestPlan.realQEMU] + arguments)
        try await system.waitUntil("'\(socket)' to answer") { (try? ask("query-status")) != nil }
    }

    var console: [UInt8] {
        get throws { Array(try Data(contentsOf: URL(fileURLWithPath: system.hostPath(log)))) }
    }

    func waitForTicks(_ more: UInt64, deadline: Duration = .seconds(180)) async throws {
        let begin = GuestConsole(try console).boots.last?.lastTick ?? 0
        try await system.waitUntil("\(more) more ticks of '\(unit)'", deadline: deadline) {
            (GuestConsole(try console).boots.last?.lastTick ?? 0) >= begin + more
        }
    }

    func pid() async throws -> Int32 { Int32(try await system.property("\(unit).service", "MainPID")) ?? 0 }

    /// What its monitor says, each answer as the JSON text that it is.
    func ask(_ commands: String...) throws -> [String] {
        let client = try SocketClient("/proc/\(system.leader)/root\(socket)")
        var answers: [String] = []
        for command in ["qmp_capabilities"] + commands {
            try client.send(#"{"execute":"\#(command)"}"# + "\n")
            while let line = try client.line() {
                if line.hasPrefix(#"{"return""#) || line.hasPrefix(#"{"error""#) {
                    answers.append(line)
                    break
                }
            }
        }
        return Array(answers.dropFirst())
    }

    /// All that an adoption that does not come about must leave alone.
    func fingerprint() async throws -> [String] {
        ["\(try await pid())"] + (try ask("query-status", "query-migrate-capabilities", "query-fdsets"))
    }

    func perdure(_ options: String..., check: Bool = true) async throws -> Output {
        try await system.run(
            ["perdure", "adopt", plan.name, "--qmp", socket] + options,
            deadline: .seconds(180),
            check: check
        )
    }
}

extension SystemTests {
    /// QEMUs that Perdure did not start.
    @Suite struct AdoptForeignTests {
        private static let plan = GuestPlan(diskFormat: "qcow2")

        /// What cuts an adoption off, and what is left then.
        private static let cuts: [(step: String, isTaken: Bool)] = [
            ("handover compare after", false), ("handover save-state after", false),
            ("handover load-state after", false), ("handover record-commit after", true),
        ]

        @Test func aForeignGuestBecomesOneLikeAnyOther() async throws {
            try await withBootedSystem { system in
                let foreign = try await ForeignQEMU(Self.plan, unit: "by-hand", on: system)
                try await foreign.waitForTicks(3)
                let before = try await foreign.fingerprint()
                try await expectRefusals(of: foreign, system)
                // What fails later, fails where the guest is, too.
                try await system.write("/run/systemd/system/perdure@web.service.d/50-test.conf", Self.haltDropIn)
                try await system.run(["systemctl", "daemon-reload"])
                for cut in Self.cuts where !cut.isTaken {
                    try await cutOff(foreign, at: cut.step, system)
                    #expect(try await foreign.fingerprint() == before, "\(cut.step)")
                    try await foreign.waitForTicks(2)
                }
                let pid = try await foreign.pid()
                let taken = try #require(Self.cuts.last)
                try await cutOff(foreign, at: taken.step, system)
                try await expectTakenOver(foreign, pid: pid, system)
            }
        }

        private static let halt = "/run/halt"
        private static let haltDropIn = "[Service]\nEnvironment=PERDURE_HALT_FILE=\(halt)\n"

        /// Kills the supervisor at a step of the adoption.
        private func cutOff(_ foreign: ForeignQEMU, at step: String, _ system: BootedSystem) async throws {
            try await system.write(Self.halt, step)
            try await system.run(
                ["systemd-run", "--quiet", "--unit=adopt", "--property=StandardError=file:/run/adopt.errors"]
                    + ["--property=StandardOutput=file:/run/adopt.output", "--property=Type=oneshot", "--no-block"]
                    + ["--property=RemainAfterExit=yes", "perdure", "adopt", "web", "--qmp", foreign.socket]
            )
            let unit = foreign.plan.unit
            var stopped: Int32 = 0
            try await system.waitUntil("the supervisor to halt at '\(step)'", deadline: .seconds(120)) {
                guard let pid = Int32(try await system.property(unit, "MainPID")), pid > 0,
                    try await system.read("/proc/\(pid)/stat").contains(") T ")
                else { return false }
                stopped = pid
                return true
            }
            try await system.run(["kill", "-KILL", "\(stopped)"])
            try await system.waitUntil("'perdure adopt' to end", deadline: .seconds(120)) {
                ["active", "failed"].contains(try await system.property("adopt.service", "ActiveState"))
            }
            let errors = try await system.read("/run/adopt.errors")
            let isTaken = Self.cuts.first { $0.step == step }?.isTaken == true
            #expect(
                try await system.property("adopt.service", "ActiveState") == (isTaken ? "active" : "failed"),
                "\(errors)"
            )
            if !isTaken {
                #expect(try await system.property("adopt.service", "ExecMainStatus") == "75")
                #expect(errors.contains("runs on as it was"), "\(step): \(errors)")
                #expect(try await system.run(["test", "-e", foreign.plan.path], check: false).status == 1)
                try await system.waitUntil("'\(unit)' to end") {
                    try await system.property(unit, "ActiveState") == "failed"
                }
                #expect(try await system.property(unit, "NFileDescriptorStore") == "0")
                #expect(try system.processes().filter { $0.arguments.contains("-incoming") }.isEmpty)
            }
            try await system.run(["systemctl", "stop", "adopt.service"], check: false)
            try await system.run(["systemctl", "reset-failed"], check: false)
        }

        /// Each refused with its reason, all at once, and the QEMU as it was.
        private func expectRefusals(of foreign: ForeignQEMU, _ system: BootedSystem) async throws {
            var plan = foreign.plan
            (plan.name, plan.options) = ("other", [])
            let odd = try await ForeignQEMU(plan, unit: "odd", on: system) { arguments in
                arguments.removeAll { $0 == "-nodefaults" }
                arguments = arguments.map { $0.replacing("memory-backend-memfd", with: "memory-backend-ram") }
                arguments = arguments.map { $0.replacing("2222", with: "2223") }
                arguments = arguments.map { $0.replacing("cores=2,", with: "cores=4,maxcpus=4,") }
                arguments += [
                    "-S", "-rtc", "base=localtime", "-device", "edu", "-boot", "menu=on",
                ]
            }
            let before = try await odd.fingerprint()
            let refused = try await odd.perdure(check: false)
            #expect(refused.status == 75)
            for reason in [
                "without '-nodefaults'", "'memory-backend-ram'", "state 'prelaunch'", "'-rtc base=localtime'",
                "'-device edu'", "'-boot menu=on'", "('maxcpus=')", "has a 'edu'",
            ] {
                #expect(refused.stderr.contains(reason), "\(reason): \(refused.stderr)")
            }
            #expect(try await odd.fingerprint() == before)
            try await system.run(["systemctl", "stop", "odd"])

            let dryRun = try await foreign.perdure("--dry-run")
            #expect(dryRun.stdout.contains("[Network nat]\nType=user\nMACAddress=52:54:00:12:34:56\n"))
            let taken = try await system.run(
                ["perdure", "adopt", "web", "--qmp", "/run/none"],
                check: false
            )
            #expect(taken.status == 64)
            try await system.write("/etc/perdure/taken.guest", "")
            let twice = try await system.run(["perdure", "adopt", "taken", "--qmp", foreign.socket], check: false)
            #expect(twice.status == 75 && twice.stderr.contains("there is a guest 'taken' already"))
        }

        private func expectTakenOver(_ foreign: ForeignQEMU, pid: Int32, _ system: BootedSystem) async throws {
            try await system.run(["rm", "-r", "/run/systemd/system/perdure@web.service.d"])
            try await system.run(["systemctl", "daemon-reload"])
            #expect(try system.processes().filter { $0.pid == pid }.isEmpty)
            let guest = try await RunningGuest(running: foreign.plan, on: system)
            let begin = try foreign.console
            func boot() async throws -> GuestConsole.Boot {
                // The first ones were written elsewhere.
                try await system.waitUntil("a tick on the new console") {
                    try guest.console.update()
                    return guest.console.lastTick > 0
                }
                try await guest.console.wait(forTick: guest.console.lastTick + 3)
                return try GuestConsole(begin + Array(guest.console.bytes)).verified()
            }
            #expect(try await boot().sweeps > 0)
            let status = try await guest.status()
            #expect(status.generation == 1 && status.state == "running")
            try await guest.expectNothingLeft(beside: status)
            for generation in 2...4 {
                try await guest.perdure("upgrade")
                _ = try await boot()
                #expect(try await guest.status().generation == generation)
            }
            try await guest.killSupervisor()
            _ = try await boot()
            try await guest.systemctl("restart")
            let last = try await boot()
            #expect(last.ramErrors == 0 && last.diskErrors == 0 && last.diskRecords > 0)
            #expect(try await guest.status().generation == 5)
            #expect(try await guest.perdure("diff").stdout.contains("runs with what its definition says"))
            // The port leads to the guest's network again.
            try await system.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2222"])
            try await guest.systemctl("stop")
            try await guest.expectGone()
            #expect(try await guest.checkedDiskLog().problems == [])
            // The next one is a start like any other.
            try await guest.startAgain()
            try await guest.systemctl("stop")
        }
    }
}
