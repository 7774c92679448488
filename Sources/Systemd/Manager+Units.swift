/// What can be asked of the manager about itself and its units. All block.
extension Manager {
    public struct UnitState: Sendable {
        public let name: String
        /// `loaded`, `masked`, `not-found`…
        public let loadState: String
        /// `active`, `inactive`, `failed`…
        public let activeState: String
    }

    /// The manager's own version, such as `252.39-1~deb12u1`.
    public static func version(deadline: Duration) throws(ManagerError) -> String {
        let bus = try Bus()
        let property = try bus.property(Bus.manager, managerInterface, "Version", type: "s", deadline: deadline)
        guard let version = property.text() else { throw ManagerError("Get Version", "unexpected reply") }
        return version
    }

    /// The loaded units whose names match a pattern such as `perdure@*.service`.
    public static func units(matching pattern: String, deadline: Duration) throws(ManagerError) -> [UnitState] {
        let bus = try Bus()
        let reply = try bus.call(Bus.manager, managerInterface, "ListUnitsByPatterns", deadline: deadline) { request in
            request.container("a", "s") {}
            request.container("a", "s") { request.append(pattern) }
        }
        guard reply.enter("a", "(ssssssouso)") else { throw ManagerError("ListUnitsByPatterns", "unexpected reply") }
        var units: [UnitState] = []
        while reply.enter("r", "ssssssouso") {
            let texts = (0..<6).map { _ in reply.text() ?? "" }
            units.append(UnitState(name: texts[0], loadState: texts[2], activeState: texts[3]))
            // What is not needed of the entry is skipped with it.
            _ = reply.text("o")
            _ = reply.number()
            _ = reply.text()
            _ = reply.text("o")
            reply.leave()
        }
        return units
    }

    /// Whether a unit is started with the host: `enabled`, `disabled`, `masked`…
    public static func fileState(of unit: String, deadline: Duration) throws(ManagerError) -> String {
        let bus = try Bus()
        let reply = try bus.call(Bus.manager, managerInterface, "GetUnitFileState", deadline: deadline) {
            $0.append(unit)
        }
        return reply.text() ?? ""
    }
}
