import Foundation
import SystemTestSupport
import Testing

/// What `perdure status --json` prints.
struct GuestStatus: Decodable, Sendable {
    let guest: String
    let state: String
    let summary: String
    let generation: Int
    let pid: Int32?
    let qemu: String?
    let qemuVersion: String?
    let lastPauseUsec: Int?
    let sinceUsec: Int?
    let memoryBytes: Int?
    let refusal: String?
    let consoleBytes: Int
    let outdated: Bool
    let replacedFirmware: [String]?
}

/// A guest that has been started by its unit, with all that can be seen of it.
final class RunningGuest {
    let system: BootedSystem
    var plan: GuestPlan
    private(set) var console: ConsoleFollower
    private(set) var bootID = ""

    var name: String { plan.name }
    var unit: String { plan.unit }

    /// Defines and starts a guest, which may be another one than the test guest, and does not wait for it.
    init(starting plan: GuestPlan, on system: BootedSystem) async throws {
        self.system = system
        self.plan = plan
        try await plan.write(to: system)
        try await system.run(plan.systemctl("start", plan.unit))
        console = try await ConsoleFollower(following: plan.name, of: plan.user, in: system)
    }

    /// Defines and starts a guest, and returns when it has booted.
    convenience init(
        _ plan: GuestPlan = GuestPlan(),
        waitingForTicks ticks: UInt64 = 3,
        on system: BootedSystem
    ) async throws {
        try await self.init(starting: plan, on: system)
        try await waitUntilBooted(ticks)
    }

    /// A guest that was started by other means, in the middle of its life.
    init(running plan: GuestPlan, on system: BootedSystem) async throws {
        self.system = system
        self.plan = plan
        console = try await ConsoleFollower(following: plan.name, in: system)
    }

    /// Starts the unit of a guest that was stopped.
    func startAgain() async throws {
        try await system.run(plan.systemctl("start", unit))
        console = try await ConsoleFollower(following: name, of: plan.user, in: system)
        try await waitUntilBooted(3)
    }

    /// Follows the console of a guest that is being booted anew by its supervisor, and returns when it has booted.
    /// - Parameter number: the first start is 1.
    func followStart(_ number: Int) async throws {
        try await system.waitUntil("the guest to be started anew", deadline: .seconds(180)) {
            try await journal(.guestStarted).count >= number
        }
        try await followAgain()
        try await waitUntilBooted(3)
    }

    private func waitUntilBooted(_ ticks: UInt64) async throws {
        try await console.wait(for: "perdure-guest ready ", deadline: .seconds(180))
        try await console.wait(forTick: ticks)
        bootID = GuestConsole(Array(console.bytes)).boots.last?.id ?? ""
    }

    /// Takes the boot that a start by other means has brought about for the guest's.
    func followNewBoot() async throws {
        console = try await ConsoleFollower(following: name, of: plan.user, in: system)
        try await waitUntilBooted(3)
    }

    /// Follows the console with another process: one ends with each guest whose memory file it reads.
    func followAgain() async throws {
        console = try await ConsoleFollower(following: name, of: plan.user, in: system)
    }

    // MARK: Commands

    @discardableResult
    func perdure(_ verb: String, _ options: String..., check: Bool = true) async throws -> Output {
        let command = ["perdure"] + (plan.user == nil ? [] : ["--user"]) + [verb, name] + options
        return try await system.run(plan.owner(command), deadline: .seconds(120), check: check)
    }

    @discardableResult
    func systemctl(_ verb: String, check: Bool = true) async throws -> Output {
        try await system.run(plan.systemctl(verb, unit), deadline: .seconds(180), check: check)
    }

    /// Kills the supervisor, and returns when the next one says that it is ready.
    func killSupervisor() async throws {
        let old = try await mainPID()
        try await system.run(["kill", "-KILL", "\(old)"])
        try await waitForSupervisor(after: old)
    }

    func waitForSupervisor(after old: Int32) async throws {
        try await system.waitUntil("the supervisor after \(old)") {
            let now = try await properties("MainPID", "ActiveState")
            return now["ActiveState"] == "active" && now["MainPID"] != "\(old)" && now["MainPID"] != "0"
        }
    }

    /// Adds a drop-in to the unit and makes systemd read it.
    func dropIn(_ text: String) async throws {
        try await system.write("/run/systemd/system/\(unit).d/50-test.conf", text)
        try await system.run(["systemctl", "daemon-reload"])
    }

    func removeDropIn() async throws {
        try await system.run(["rm", "-r", "/run/systemd/system/\(unit).d"])
        try await system.run(["systemctl", "daemon-reload"])
    }

    func define(_ change: (inout GuestPlan) -> Void) async throws {
        change(&plan)
        try await plan.write(to: system)
    }

    // MARK: What is seen

    func status() async throws -> GuestStatus {
        try JSONDecoder().decode(GuestStatus.self, from: Data(try await perdure("status", "--json").stdout.utf8))
    }

    func properties(_ names: String...) async throws -> [String: String] {
        let command = plan.systemctl("show", "--property", names.joined(separator: ","), "--", unit)
        let pairs = try await system.run(command).stdout.split(separator: "\n").compactMap { line in
            line.firstIndex(of: "=").map { (String(line[..<$0]), String(line[line.index(after: $0)...])) }
        }
        return Dictionary(pairs) { first, _ in first }
    }

    private func property(_ name: String) async throws -> String { try await properties(name)[name] ?? "" }

    func mainPID() async throws -> Int32 {
        Int32(try await property("MainPID")) ?? 0
    }

    func storedDescriptors() async throws -> Int {
        Int(try await property("NFileDescriptorStore")) ?? -1
    }

    /// Names of the descriptors that systemd handed to this supervisor when it started it.
    func receivedDescriptors() async throws -> Set<String> {
        let environment = try await system.run(["cat", "/proc/\(try await mainPID())/environ"]).stdout
        let prefix = "LISTEN_FDNAMES="
        let line = environment.split(separator: "\0").last { $0.hasPrefix(prefix) }
        let names = line.map { $0.dropFirst(prefix.count).split(separator: ":").map(String.init) } ?? []
        #expect(Set(names).count == names.count)
        return Set(names)
    }

    /// Names of the guest's scopes that systemd knows.
    func scopes() async throws -> [String] {
        let command = plan.systemctl("list-units", "--all", "--plain", "--no-legend", "--full", "*.scope")
        return try await system.run(command).stdout.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first.map(String.init)
        }.filter { scope in
            let prefix = "perdure-\(name)-g"
            guard scope.hasPrefix(prefix) else { return false }
            return Int(scope.dropFirst(prefix.count).dropLast(".scope".count)) != nil
        }
    }

    /// The guest's VM processes, whoever looks after them.
    func vmProcesses() throws -> [SystemProcess] {
        try system.processes().filter(isVMProcess)
    }

    private func isVMProcess(_ process: SystemProcess) -> Bool {
        process.arguments.contains("guest=\(name),process=qemu-\(name)") && isOfThatManager(process)
    }

    private func isInUnit(_ process: SystemProcess) -> Bool {
        process.cgroup.hasSuffix("/\(unit)") && isOfThatManager(process)
    }

    /// Another manager's guest may have the same name.
    private func isOfThatManager(_ process: SystemProcess) -> Bool {
        plan.user.map { process.cgroup.hasPrefix("\($0.group)/") } ?? !process.cgroup.hasPrefix("/user.slice/")
    }

    /// The log on the image of a guest that is off, which has no errors. Clusters that a killed QEMU has allocated and
    /// not come to use are none.
    func checkedDiskLog() async throws -> GuestDiskLog {
        let check = try await system.run(["qemu-img", "check", "-q", plan.image], check: false)
        guard [0, 3].contains(check.status) else {
            throw CommandFailure(description: "'\(plan.image)' is damaged: \(check.stdout)\(check.stderr)")
        }
        let copy = "/run/disk-log.raw"
        try await system.run(["qemu-img", "convert", "-O", "raw", plan.image, copy])
        return try GuestDiskLog(image: system.hostPath(copy))
    }

    func diskLog() throws -> GuestDiskLog { try GuestDiskLog(image: system.hostPath(plan.image)) }

    /// Journal entries of a state change of this guest, oldest first.
    func journal(_ id: JournalMessage) async throws -> [[String: String]] {
        try await system.journal("MESSAGE_ID=\(id.rawValue)", "PERDURE_GUEST=\(name)")
    }

    // MARK: What must hold

    /// The guest has run since its one boot without an error and runs on now, and there is one of everything.
    /// - Parameters:
    ///   - pid: the guest's VM process, if it must still be the same.
    @discardableResult
    func expectGuestIntact(
        pid: Int32? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> GuestStatus {
        try console.update()
        try await console.wait(forTick: console.lastTick + 3)
        let boot = try console.verified()
        #expect(boot.id == bootID, sourceLocation: sourceLocation)
        let status = try await status()
        #expect(status.state == "running", sourceLocation: sourceLocation)
        if let pid { #expect(status.pid == pid, sourceLocation: sourceLocation) }
        try await expectNothingLeft(beside: status, sourceLocation: sourceLocation)
        return status
    }

    /// One VM process, one scope, one supervisor, and the descriptors that belong to them.
    func expectNothingLeft(
        beside status: GuestStatus,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let scope = "perdure-\(name)-g\(status.generation).scope"
        // systemd forgets a scope some time after its last process has ended.
        try await system.waitUntil("'\(scope)' to be the guest's only scope") { try await scopes() == [scope] }
        let processes = try system.processes()
        #expect(processes.filter(isVMProcess).map(\.pid) == [status.pid], sourceLocation: sourceLocation)
        let tpms = processes.filter { $0.arguments.first == "/usr/bin/swtpm" }
        #expect(
            tpms.map(\.cgroup) == (plan.sections.contains("[TPM]") ? ["\(slice)/\(scope)"] : []),
            sourceLocation: sourceLocation
        )
        let inSlice = processes.filter { process in
            process.cgroup.hasPrefix("\(slice)/") && !tpms.contains { $0.pid == process.pid }
        }
        #expect(inSlice.map(\.pid) == [status.pid], sourceLocation: sourceLocation)
        #expect(inSlice.map(\.cgroup) == ["\(slice)/\(scope)"], sourceLocation: sourceLocation)
        let inUnit = processes.filter(isInUnit)
        let properties = try await properties("MainPID", "NFileDescriptorStore")
        #expect(inUnit.map { "\($0.pid)" } == [properties["MainPID"]], sourceLocation: sourceLocation)
        #expect(
            properties["NFileDescriptorStore"] == "\(plan.inventory.count + 1 + plan.queues)",
            sourceLocation: sourceLocation
        )
    }

    /// The VM process that runs the guest holds the locks of its disk's image.
    func expectImageLocked(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let check = try await system.run(["qemu-img", "check", "-q", plan.image], check: false)
        #expect(check.status != 0 && check.stderr.contains("lock"), "\(check)", sourceLocation: sourceLocation)
    }

    /// What a supervisor that has just been started was handed, where `generation` was the guest's VM process.
    func expectReceived(generation: Int, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        #expect(
            try await receivedDescriptors()
                == Set(plan.inventory + ["qmp.g\(generation)"]),
            sourceLocation: sourceLocation
        )
    }

    /// Nothing of the guest is there but its disk.
    func expectGone(result: String = "success", sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let state = result == "success" ? "inactive" : "failed"
        try await system.waitUntil("the unit '\(unit)' to be \(state)", deadline: .seconds(120)) {
            try await property("ActiveState") == state
        }
        #expect(try await property("Result") == result, sourceLocation: sourceLocation)
        #expect(try await storedDescriptors() == 0, sourceLocation: sourceLocation)
        // systemd forgets a scope when it has seen its last process end.
        try await system.waitUntil("the guest's scopes to go") { try await scopes().isEmpty }
        #expect(try vmProcesses().map(\.pid) == [], sourceLocation: sourceLocation)
        let left = try system.processes().filter { $0.cgroup.hasPrefix("\(slice)/") || isInUnit($0) }
        #expect(left.map(\.arguments) == [], sourceLocation: sourceLocation)
    }

    /// The cgroup that the guest's scopes are in.
    private var slice: String {
        "\(plan.user?.group ?? "")/perdure.slice/perdure-\(name.replacingOccurrences(of: "-", with: #"\x2d"#)).slice"
    }
}
