import Foundation
import Glibc
import GuestDefinition
import Linux
import SystemTestSupport

/// The floor: what a handover costs when nothing is done but what QEMU needs. No systemd, no ledger, no checks.
final class FloorGuest {
    let memory: Descriptor
    /// All its QEMU processes are in it.
    let cgroup: ControlGroup
    private let consoleLog: Descriptor
    private let state: Descriptor
    private let hardware: GuestHardware
    private let version: QEMUVersion
    private var current: VM

    /// A QEMU process, and its end of the sockets that the process has the other ends of.
    private struct VM {
        let process: GatedProcess
        let arguments: [String]
        var monitor: FloorMonitor
    }

    /// The arguments of the QEMU process that runs the guest.
    var arguments: [String] { current.arguments }

    /// Boots a guest, with its QEMU processes in `cgroup`.
    init(hardware: GuestHardware, version: QEMUVersion, cgroup: ControlGroup) throws {
        self.cgroup = cgroup
        try cgroup.make()
        self.hardware = hardware
        self.version = version
        memory = try MemoryFile.create("ram.main", size: hardware.ram[0].size, growth: .fixed)
        consoleLog = try MemoryFile.create("console.log", growth: .allowed)
        state = try MemoryFile.create("vmstate", growth: .allowed)
        current = try Self.spawn(hardware, version, memory, consoleLog, cgroup, incoming: false)
        try current.monitor.execute(#"{"execute":"cont"}"#)
    }

    deinit { try? end() }

    func console() throws -> GuestConsole {
        GuestConsole(try consoleLog.read(at: 0, count: Int(consoleLog.size())))
    }

    func end() throws { try Self.end(current) }

    func handOver() throws -> Handover {
        var next = try Self.spawn(hardware, version, memory, consoleLog, cgroup, incoming: true)
        current.monitor.forgetEvents()
        do {
            try MemoryFile.resize(state, to: 0, name: "vmstate")
            try hand(state.reopened(O_WRONLY), to: &current.monitor)
            try hand(state.reopened(O_RDONLY), to: &next.monitor)
            for disk in hardware.disks + hardware.disks {
                let image = try Descriptor.open(disk.image, O_RDONLY)
                if fdatasync(image.raw) < 0 { throw SystemCallError("fdatasync", on: disk.image) }
            }

            var steps: [String: Double] = [:]
            try steps["stop-guest"] = milliseconds { try current.monitor.execute(#"{"execute":"stop"}"#) }
            try steps["save-state"] = milliseconds {
                try current.monitor.execute(#"{"execute":"migrate","arguments":{"uri":"\#(stateURI)"}}"#)
                try current.monitor.awaitMigration()
            }
            try steps["load-state"] = milliseconds {
                try next.monitor.execute(#"{"execute":"migrate-incoming","arguments":{"uri":"\#(stateURI)"}}"#)
                try next.monitor.awaitMigration()
            }
            try steps["continue-guest"] = milliseconds { try next.monitor.execute(#"{"execute":"cont"}"#) }

            let pause = try next.monitor.time(of: "RESUME") - current.monitor.time(of: "STOP")
            let old = current
            current = next
            try Self.end(old)
            return Handover(pause: Double(pause) / 1000, steps: steps)
        } catch {
            try? Self.end(next)
            throw error
        }
    }

    /// From 8.2 on QEMU reads and writes files only where it opens them itself, in a descriptor set.
    private var usesDescriptorSet: Bool { version >= QEMUVersion(major: 8, minor: 2) }
    private var stateURI: String { usesDescriptorSet ? "file:/dev/fdset/1" : "fd:vmstate" }

    private func hand(_ file: Descriptor, to monitor: inout FloorMonitor) throws {
        if usesDescriptorSet { try? monitor.execute(#"{"execute":"remove-fd","arguments":{"fdset-id":1}}"#) }
        try monitor.execute(
            usesDescriptorSet
                ? #"{"execute":"add-fd","arguments":{"fdset-id":1}}"#
                : #"{"execute":"getfd","arguments":{"fdname":"vmstate"}}"#,
            passing: file
        )
    }

    private static func spawn(
        _ hardware: GuestHardware,
        _ version: QEMUVersion,
        _ memory: Descriptor,
        _ consoleLog: Descriptor,
        _ cgroup: ControlGroup,
        incoming: Bool
    ) throws -> VM {
        let (ours, theirs) = try UnixSocket.pair()
        let output = try MemoryFile.create("vm-output", growth: .allowed)
        let arguments = QEMUCommandLine.arguments(
            guest: "floor",
            generation: 1,
            hardware: hardware,
            descriptors: VMProcessDescriptors(
                ram: ["main": memory.raw],
                qmp: theirs.raw,
                consoleLog: consoleLog.raw
            ),
            version: version,
            incoming: incoming
        )
        let process = try GatedProcess(
            Program(
                path: "/usr/bin/setpriv",
                arguments: ["--pdeathsig", "KILL", GuestDefinition.defaultQEMU] + arguments,
                environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
                inherited: [theirs, memory, consoleLog],
                output: output
            )
        )
        try cgroup.add(process.handle.pid)
        try process.open()
        try process.checkExecuted(path: "/usr/bin/setpriv")
        do {
            var monitor = try FloorMonitor(socket: ours)
            try monitor.execute(#"{"execute":"qmp_capabilities"}"#)
            let late = incoming ? #",{"capability":"late-block-activate","state":true}"# : ""
            try monitor.execute(
                #"{"execute":"migrate-set-capabilities","arguments":{"capabilities":["#
                    + #"{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}\#(late)]}}"#
            )
            return VM(process: process, arguments: arguments, monitor: monitor)
        } catch {
            try process.handle.kill()
            _ = process.handle.reap()
            let said = try String(decoding: output.read(at: 0, count: 65_536), as: UTF8.self)
            throw CommandFailure(description: "The floor's QEMU can't be used: \(error) It said: \(said)")
        }
    }

    private static func end(_ vm: VM) throws {
        try vm.process.handle.kill()
        _ = vm.process.handle.reap()
    }
}
