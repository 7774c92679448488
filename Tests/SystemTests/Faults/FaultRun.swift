import Foundation
import Lifecycle
import SystemTestSupport
import Testing

/// Carries fault cases out, one after the other, on one guest for as long as it lives.
final class FaultRun {
    /// How a guest stands when nothing is being done to it any more.
    private enum Standing: Equatable {
        case running, paused, saved, waiting
        case unclear(String)
        case gone(result: String)
    }

    /// What came of a case that should not have.
    private struct Wrong: Error, CustomStringConvertible {
        let description: String
    }

    let system: BootedSystem
    let plan: GuestPlan
    private(set) var guest: RunningGuest
    private let injector: FaultInjector
    private(set) var report = FaultReport()
    private var needsReset = false
    /// The last case has ended the guest.
    private(set) var isOff = false

    init(_ plan: GuestPlan, on system: BootedSystem) async throws {
        self.system = system
        self.plan = plan
        try await FaultInjector.install(on: system)
        injector = FaultInjector(system: system, guest: plan.name)
        guest = try await RunningGuest(plan, on: system)
    }

    // MARK: One case

    /// Records an issue where the guest did not run exactly once afterwards.
    func run(_ fault: FaultCase) async {
        let began = ContinuousClock.now
        do {
            if needsReset { try await reset() }
            needsReset = true
            try await perform(fault)
            needsReset = false
            report.note(fault)
        } catch {
            report.note(fault, problem: "\(error)")
            Issue.record("\(fault): \(error)\n\(await circumstances())")
        }
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        let line = "\(fault) \(needsReset ? "FAILED" : "ok") after \(String(format: "%.1f", seconds)) s\n"
        FileHandle.standardError.write(Data(line.utf8))
    }

    /// What can be seen of the guest, before it is reset.
    private func circumstances() async -> String {
        var text = ""
        let records = [
            "journalctl", "-o", "short-precise", "-n", "60", "PERDURE_GUEST=\(guest.name)", "+", "UNIT=\(guest.unit)",
        ]
        for command in [["perdure", "status", "--json", guest.name], ["systemctl", "status", guest.unit], records] {
            let output = try? await system.run(command, deadline: .seconds(20), check: false)
            text += "$ \(command.joined(separator: " "))\n\(output?.stdout ?? "no answer")\n"
        }
        return text + "console: \(String(decoding: guest.console.bytes.suffix(600), as: UTF8.self))"
    }

    private func perform(_ fault: FaultCase) async throws {
        if isOff, !fault.point.beginsOff { try await boot() }
        let lost = try await guest.journal(.lost).count
        let unclear = try await guest.journal(.unclear).count
        let hangReports = try await reports(of: fault)
        try await prepare(for: fault.point)
        let before = try injector.vmProcesses()
        let old = try await guardedOld(before, fault.point)
        let trigger = try await begin(fault.point)
        let supervisor = try await approach(fault.point, old: old)
        let stopped = try await inject(fault, supervisor, old: old)
        _ = await trigger.value
        let standing = try await settle(after: supervisor, fault, stopped)
        for pid in stopped { try? injector.send(SIGCONT, to: pid) }
        try await judge(fault, try await settled(standing, stopped), lostBefore: lost)
        guard try await guest.journal(.unclear).count == unclear else {
            throw Wrong(description: "the guest was unclear for a time")
        }
        if let hangReports, try await reports(of: fault) == hangReports {
            throw Wrong(description: "the VM process that hung was not reported")
        }
    }

    /// How often what a hang must lead to has been reported: that the handover was undone before its commit, or that it
    /// went on after it.
    private func reports(of fault: FaultCase) async throws -> Int? {
        switch fault.hangLeadsTo {
        case .undoing: try await guest.journal(.handoverUndone).count
        case .goingOn: try await guest.journal(.stepWentOn).count
        case .nothing: nil
        }
    }

    private func guardedOld(_ processes: [Int: Int32], _ point: FaultPoint) async throws -> Int32? {
        guard processes.count <= 1 else { throw Wrong(description: "\(processes.count) VM processes before it") }
        return processes.values.first
    }

    /// Brings the guest to where the operation can begin.
    private func prepare(for point: FaultPoint) async throws {
        switch point.operation {
        case .handover, .rehearse, .save, .leave, .rollBack, .finishHandover, .stop, .abandon, .changeMemory, .hold,
            .pause,
            .reset, .powerdown, .kill, .dump:
            break
        case .unpause: try await guest.perdure("pause")
        case .restore: try await guest.perdure("hold")
        case .exec, .resume: try await guest.perdure("save")
        case .load:
            try await guest.perdure("save")
            try await guest.perdure("exec")
        case .start, .startAnew, .conclude:
            if isOff { break }
            try await guest.systemctl("stop")
            try await guest.expectGone()
            try await checkDisk()
            isOff = true
        }
    }

    /// Makes the operation begin. The task's end is not its success.
    private func begin(_ point: FaultPoint) async throws -> Task<Void, Never> {
        try injector.arm((point.stages.first?.point ?? point).description)
        if point.beginsOff {
            let powersOff = point.operation == .conclude
            try await guest.define { $0.options = plan.options + (powersOff ? ["poweroff_after=5"] : []) }
        }
        let (unit, name, system) = (guest.unit, guest.name, system)
        let command =
            switch point.operation {
            case .handover, .rollBack, .finishHandover: ["perdure", "upgrade", name]
            case .rehearse: ["perdure", "upgrade", "--dry-run", name]
            case .save, .exec, .load, .hold, .pause, .reset, .powerdown, .kill:
                ["perdure", point.operation.rawValue, name]
            case .unpause, .restore: ["perdure", "resume", name]
            case .start, .startAnew, .conclude: ["systemctl", "start", unit]
            case .changeMemory: ["perdure", "memory", "add", name, "more", "128M"]
            case .dump: ["perdure", "dump", name, "/run/\(name).core"]
            case .stop, .resume: ["systemctl", "stop", unit]
            case .leave: ["systemctl", "restart", unit]
            case .abandon: ["kill", "-KILL", "\(try await guest.status().pid ?? 0)"]
            }
        return Task.detached { _ = try? await system.run(command, deadline: .seconds(200), check: false) }
    }

    /// Returns the supervisor that has stopped itself at the point.
    private func approach(_ point: FaultPoint, old: Int32?) async throws -> Int32 {
        for stage in point.stages {
            let supervisor = try await injector.waitUntilHalted(at: stage.point.description)
            let next = stage.fault == .stopOld ? point.beginningOfUndoing ?? point : point
            try injector.arm(next.description)
            for pid in try await inject(stage, supervisor, old: old) {
                // What did not answer in time does so again when the undoing has begun.
                let halted = try await injector.waitUntilHalted(at: next.description)
                try injector.send(SIGCONT, to: pid)
                if next == point { return halted }
                try injector.arm(point.description)
                try injector.release(halted)
            }
        }
        return try await injector.waitUntilHalted(at: point.description)
    }

    /// Does the harm and lets the supervisor go on. Returns VM processes that hang now.
    private func inject(_ fault: FaultCase, _ supervisor: Int32, old: Int32?) async throws -> [Int32] {
        let processes = try injector.vmProcesses()
        let target: Int32? =
            switch fault.fault {
            case .killOld, .stopOld: old ?? processes.values.first
            case .killNew, .stopNew: processes.values.first { $0 != old }
            case .killSupervisor, .stopSupervisor, .reexecuteManager: nil
            }
        if fault.fault.target != nil, target.map(processes.values.contains) != true {
            throw Wrong(description: "the VM process that the fault is for is not there")
        }
        switch fault.fault {
        case .killSupervisor: try injector.send(SIGKILL, to: supervisor)
        case .stopSupervisor: break
        case .killOld, .killNew:
            try await injector.end(target ?? 0)
            try injector.release(supervisor)
        case .stopOld, .stopNew:
            try injector.send(SIGSTOP, to: target ?? 0)
            try injector.release(supervisor)
            return [target].compactMap { $0 }
        case .reexecuteManager:
            try await system.run(["systemctl", "daemon-reexec"])
            try injector.release(supervisor)
        }
        return []
    }

    // MARK: Afterwards

    private func settle(after supervisor: Int32, _ fault: FaultCase, _ stopped: [Int32]) async throws -> Standing {
        if fault.fault == .stopSupervisor || fault.fault == .killSupervisor {
            try await system.waitUntil("the stopped supervisor to be ended", deadline: .seconds(120)) {
                try !injector.supervisors().contains(supervisor)
            }
        }
        return try await waitUntilStanding()
    }

    /// A VM process that hung may have been all that was missing.
    private func settled(_ standing: Standing, _ stopped: [Int32]) async throws -> Standing {
        stopped.isEmpty ? standing : try await waitUntilStanding()
    }

    private func waitUntilStanding() async throws -> Standing {
        var standing: Standing?
        try await system.waitUntil("the guest to stand", deadline: .seconds(150)) {
            standing = try await currentStanding()
            return standing != nil
        }
        return standing ?? .unclear("")
    }

    private func currentStanding() async throws -> Standing? {
        let unit = try await guest.properties("ActiveState", "Result", "Job")
        let hasJob = unit["Job"].map { !$0.isEmpty && $0 != "0" } ?? false
        if !hasJob, unit["ActiveState"] == "inactive" || unit["ActiveState"] == "failed" {
            return .gone(result: unit["Result"] ?? "")
        }
        let output = try await guest.perdure("status", "--json", check: false)
        guard unit["ActiveState"] == "active", output.status == 0,
            let status = try? JSONDecoder().decode(GuestStatus.self, from: Data(output.stdout.utf8))
        else { return nil }
        return switch status.state {
        case "running": .running
        case "paused": .paused
        case "saved": .saved
        case "waiting": .waiting
        case "unclear": .unclear(status.summary)
        default: nil
        }
    }

    /// What must be after the fault, and that it is.
    private func judge(_ fault: FaultCase, _ standing: Standing, lostBefore: Int) async throws {
        let point = fault.point
        let isLost = try await guest.journal(.lost).count > lostBefore
        if isLost { report.noteLoss(isAllowed: point.mayLoseGuest(by: fault.fault)) }
        if isLost, !point.mayLoseGuest(by: fault.fault) { throw Wrong(description: "the guest was lost: \(standing)") }
        switch standing {
        case .unclear(let reason): throw Wrong(description: "the guest is unclear: \(reason)")
        case .gone(let result):
            let mayEnd =
                point.endsGuest || point.operation == .kill
                || point.operation == .start && (point.isUndoing || fault.fault.target != nil)
            guard isLost || mayEnd else { throw Wrong(description: "the guest is gone (\(result)), and not reported") }
            try await expectGone(result)
        case .running, .paused, .saved, .waiting:
            if isLost { throw Wrong(description: "the guest was lost, and its unit is not failed but \(standing)") }
            if point.endsGuest { throw Wrong(description: "the guest is to be ended and is \(standing)") }
            if point.beginsOff { try await guest.followNewBoot() }
            isOff = false
            if standing == .saved { try await guest.perdure("exec") }
            if standing == .saved || standing == .waiting { try await guest.perdure("load") }
            if standing == .paused { try await guest.perdure("resume") }
            try await guest.expectGuestIntact()
            try await guest.expectImageLocked()
        }
    }

    /// Nothing is left, and the disk is whole.
    private func expectGone(_ result: String) async throws {
        try await guest.expectGone(result: result)
        _ = try guest.console.update()
        try await checkDisk()
        try await system.run(["systemctl", "reset-failed", guest.unit], check: false)
        isOff = true
    }

    private func boot() async throws {
        injector.disarm()
        isOff = false
        try await guest.define { $0.options = plan.options }
        try await guest.startAgain()
    }

    /// After a failure: whatever there is of the guest goes, and another is booted.
    private func reset() async throws {
        injector.disarm()
        for pid in try injector.supervisors() + injector.vmProcesses().values {
            _ = try? injector.send(SIGCONT, to: pid)
        }
        try await system.run(["systemctl", "stop", guest.unit], deadline: .seconds(200), check: false)
        for pid in try injector.vmProcesses().values { _ = try? injector.send(SIGKILL, to: pid) }
        try await system.run(["systemctl", "reset-failed", guest.unit], check: false)
        try await system.waitUntil("nothing to be left of the guest") { try await guest.scopes().isEmpty }
        try await boot()
    }

    /// The image is free of errors, and no record is missing that the guest was told to be on its disk.
    private func checkDisk() async throws {
        let boot = GuestConsole(Array(guest.console.bytes)).boots.last
        let acknowledged = boot?.diskRecords ?? 0
        let log = try await guest.checkedDiskLog()
        let missing = acknowledged > log.lastRecord ? acknowledged - log.lastRecord : 0
        report.note(ramErrors: boot?.ramErrors ?? 0, recordsLost: missing + UInt64(log.problems.count))
        guard log.problems.isEmpty, log.lastRecord >= acknowledged else {
            throw Wrong(
                description: "the disk has \(log.lastRecord) of \(acknowledged) records: \(log.problems.prefix(3))"
            )
        }
    }

    /// A handover without a fault.
    func handOver() async {
        do {
            if needsReset { try await reset() }
            if isOff { try await boot() }
            needsReset = true
            try await guest.perdure("upgrade")
            if let pause = try await guest.status().lastPauseUsec { report.note(pause: pause) }
            needsReset = false
        } catch {
            Issue.record("a handover without a fault: \(error)")
        }
    }

    /// Powers the guest off in order, and checks what it leaves.
    func finish() async throws {
        if needsReset { try await reset() }
        if isOff { try await boot() }
        try await guest.expectGuestIntact()
        try await guest.systemctl("stop")
        try await guest.expectGone()
        try await guest.console.wait(for: "perdure-guest powering off")
        try await checkDisk()
    }
}
