import Foundation
import SystemTestSupport
import Testing

/// A QEMU that a person has started by hand, with the test guest in it.
final class ForeignQEMU {
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

    // MARK: Cutting an adoption off

    static let halt = "/run/halt"
    static let haltDropIn = "[Service]\nEnvironment=PERDURE_HALT_FILE=\(halt)\n"
    private static let command = "adopt.service"

    /// Has every supervisor of the guest halt where the file says.
    func allowHalts() async throws {
        try await system.write("/run/systemd/system/\(plan.unit).d/50-test.conf", Self.haltDropIn)
        try await system.run(["systemctl", "daemon-reload"])
    }

    func forbidHalts() async throws {
        try await system.run(["rm", "-r", "/run/systemd/system/\(plan.unit).d"])
        try await system.run(["systemctl", "daemon-reload"])
    }

    /// Begins to take it over, and returns the supervisor's process ID when that stands still at a step.
    func haltAdoption(at step: String) async throws -> Int32 {
        try await system.write(Self.halt, step)
        try await system.run(
            ["systemd-run", "--quiet", "--unit=adopt", "--property=StandardError=file:/run/adopt.errors"]
                + ["--property=StandardOutput=file:/run/adopt.output", "--property=Type=oneshot", "--no-block"]
                + ["--property=RemainAfterExit=yes", "perdure", "adopt", plan.name, "--qmp", socket]
        )
        var stopped: Int32 = 0
        try await system.waitUntil("the supervisor to halt at '\(step)'", deadline: .seconds(120)) {
            if try await system.property(Self.command, "ActiveState") == "failed" {
                throw CommandFailure(description: "Refused: \(try await system.read("/run/adopt.errors"))")
            }
            guard let pid = Int32(try await system.property(plan.unit, "MainPID")), pid > 0,
                try await system.read("/proc/\(pid)/stat").contains(") T ")
            else { return false }
            stopped = pid
            return true
        }
        return stopped
    }

    /// - Returns: how the command has ended, as systemd has it, and what it has said.
    func commandEnd() async throws -> (state: String, status: String, errors: String) {
        try await system.waitUntil("'perdure adopt' to end", deadline: .seconds(120)) {
            ["active", "failed"].contains(try await system.property(Self.command, "ActiveState"))
        }
        return (
            try await system.property(Self.command, "ActiveState"),
            try await system.property(Self.command, "ExecMainStatus"), try await system.read("/run/adopt.errors")
        )
    }

    func killCommand() async throws {
        try await system.run(["systemctl", "kill", "--signal=KILL", Self.command])
    }

    func forgetCommand() async throws {
        try await system.run(["systemctl", "stop", Self.command], check: false)
        try await system.run(["systemctl", "reset-failed"], check: false)
    }

    /// Nothing is left of a supervisor that has let go of it.
    func waitForLettingGo() async throws {
        try await system.waitUntil("'\(plan.unit)' to end") {
            try await system.property(plan.unit, "ActiveState") == "failed"
        }
        #expect(try await system.property(plan.unit, "NFileDescriptorStore") == "0")
        #expect(try system.processes().filter { $0.arguments.contains("-incoming") }.isEmpty)
    }
}
