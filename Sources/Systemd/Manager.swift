import Glibc
import Linux

/// Calls to the service manager. All block: run them outside of event loops.
public enum Manager {
    static let managerInterface = "org.freedesktop.systemd1.Manager"
    private static let unitInterface = "org.freedesktop.systemd1.Unit"

    /// A job queued or running for a unit.
    public enum Job: Equatable, Sendable {
        case none
        case start
        case stop
        case restart
        case other(String)
    }

    public struct ScopeRequest: Sendable {
        public var name: String
        public var description: String
        public var slice: String
        /// The unit that is stopped before the scope is, at shutdown.
        public var before: String
        public var pids: [Int32]
        /// The devices that can be opened in it, with what for (`rw`), as in DeviceAllow=; besides those that need no
        /// hardware, such as /dev/null. Nil: all that permissions allow. What is open already is not touched.
        public var devices: [(String, String)]?

        public init(
            name: String,
            description: String,
            slice: String,
            before: String,
            pids: [Int32],
            devices: [(String, String)]?
        ) {
            self.name = name
            self.description = description
            self.slice = slice
            self.before = before
            self.pids = pids
            self.devices = devices
        }
    }

    /// Moves processes into a transient scope of its own and returns once it is there.
    public static func startScope(_ scope: ScopeRequest, deadline: Duration) throws(ManagerError) {
        let end = ContinuousClock.now + deadline
        let bus = try Bus()
        let reply = try bus.call(Bus.manager, managerInterface, "StartTransientUnit", deadline: deadline) { request in
            request.append(scope.name)
            request.append("fail")
            request.container("a", "(sv)") {
                request.property("Description", type: "s") { request.append(scope.description) }
                request.property("Slice", type: "s") { request.append(scope.slice) }
                request.property("PIDs", type: "au") {
                    request.container("a", "u") { for pid in scope.pids { request.append(UInt32(pid)) } }
                }
                request.property("Before", type: "as") { request.container("a", "s") { request.append(scope.before) } }
                request.property("CollectMode", type: "s") { request.append("inactive-or-failed") }
                guard let devices = scope.devices else { return }
                request.property("DevicePolicy", type: "s") { request.append("closed") }
                request.property("DeviceAllow", type: "a(ss)") {
                    request.container("a", "(ss)") {
                        for (device, access) in devices {
                            request.container("r", "ss") {
                                request.append(device)
                                request.append(access)
                            }
                        }
                    }
                }
            }
            request.container("a", "(sa(sv))") {}
        }
        guard let job = reply.text("o") else { throw ManagerError("StartTransientUnit", "unexpected reply") }
        while let message = try bus.nextMessage(before: end) {
            guard message.isSignal(managerInterface, "JobRemoved") else { continue }
            _ = message.number()
            guard message.text("o") == job, message.text() != nil else { continue }
            let result = message.text() ?? ""
            if result == "done" { return }
            throw ManagerError("to start '\(scope.name)'", "the job's result is '\(result)'")
        }
        throw ManagerError("to start '\(scope.name)'", "no answer within \(deadline)")
    }

    /// The job that `unit` has now.
    public static func job(of unit: String, deadline: Duration) throws(ManagerError) -> Job {
        let bus = try Bus()
        let path = try object(of: unit, on: bus, deadline: deadline)
        let property = try bus.property(path, unitInterface, "Job", type: "(uo)", deadline: deadline)
        guard property.enter("r", "uo"), let identifier = property.number(), let job = property.text("o") else {
            throw ManagerError("Get Job", "unexpected reply")
        }
        if identifier == 0 { return .none }
        let type = try bus.property(job, "org.freedesktop.systemd1.Job", "JobType", type: "s", deadline: deadline)
        switch type.text() ?? "" {
        case "start": return .start
        case "stop": return .stop
        case "restart", "try-restart": return .restart
        case let other: return .other(other)
        }
    }

    /// What the manager keeps of a service's descriptors, and why it may be less than it was given.
    public struct StoredDescriptors: Sendable {
        public let count: Int
        /// FileDescriptorStoreMax=
        public let limit: Int
        /// `loaded`, `masked`, `not-found`…: without its file a unit has no store, even while it runs.
        public let loadState: String
    }

    public static func descriptorStore(
        of unit: String,
        deadline: Duration
    ) throws(ManagerError) -> StoredDescriptors {
        let bus = try Bus()
        let path = try object(of: unit, on: bus, deadline: deadline)
        func number(_ name: String) throws(ManagerError) -> Int {
            let interface = "org.freedesktop.systemd1.Service"
            let property = try bus.property(path, interface, name, type: "u", deadline: deadline)
            guard let number = property.number() else { throw ManagerError("Get \(name)", "unexpected reply") }
            return Int(number)
        }
        let loadState = try bus.property(path, unitInterface, "LoadState", type: "s", deadline: deadline)
        return StoredDescriptors(
            count: try number("NFileDescriptorStore"),
            limit: try number("FileDescriptorStoreMax"),
            loadState: loadState.text() ?? ""
        )
    }

    /// Loaded scopes whose name begins with `prefix`, with their processes.
    public static func scopes(prefix: String, deadline: Duration) throws(ManagerError) -> [String: [Int32]] {
        let bus = try Bus()
        let reply = try bus.call(Bus.manager, managerInterface, "ListUnitsByPatterns", deadline: deadline) { request in
            request.container("a", "s") {}
            request.container("a", "s") { request.append("*.scope") }
        }
        var names: [String] = []
        guard reply.enter("a", "(ssssssouso)") else { throw ManagerError("ListUnitsByPatterns", "unexpected reply") }
        while reply.enter("r", "ssssssouso") {
            if let name = reply.text(), name.hasPrefix(prefix) { names.append(name) }
            // What is not needed of the entry is skipped with it.
            for _ in 0..<5 { _ = reply.text() }
            _ = reply.text("o")
            _ = reply.number()
            _ = reply.text()
            _ = reply.text("o")
            reply.leave()
        }
        var found: [String: [Int32]] = [:]
        // One that has gone since has none.
        for name in names { found[name] = (try? processes(of: name, on: bus, deadline: deadline)) ?? [] }
        return found
    }

    /// Queues a stop of `unit` and does not wait for it.
    public static func stopUnit(_ unit: String, deadline: Duration) throws(ManagerError) {
        let bus = try Bus()
        _ = try bus.call(Bus.manager, managerInterface, "StopUnit", deadline: deadline) { request in
            request.append(unit)
            request.append("replace")
        }
    }

    private static func processes(of unit: String, on bus: Bus, deadline: Duration) throws(ManagerError) -> [Int32] {
        let reply = try bus.call(Bus.manager, managerInterface, "GetUnitProcesses", deadline: deadline) {
            $0.append(unit)
        }
        guard reply.enter("a", "(sus)") else { throw ManagerError("GetUnitProcesses", "unexpected reply") }
        var pids: [Int32] = []
        while reply.enter("r", "sus") {
            _ = reply.text()
            if let pid = reply.number() { pids.append(Int32(bitPattern: pid)) }
            _ = reply.text()
            reply.leave()
        }
        return pids
    }

    private static func object(of unit: String, on bus: Bus, deadline: Duration) throws(ManagerError) -> String {
        let reply = try bus.call(Bus.manager, managerInterface, "GetUnit", deadline: deadline) { $0.append(unit) }
        guard let path = reply.text("o") else { throw ManagerError("GetUnit", "unexpected reply") }
        return path
    }
}
