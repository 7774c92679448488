/// The machines that systemd-machined knows (org.freedesktop.machine1(5)). All calls block.
public enum Machines {
    private static let path = "/org/freedesktop/machine1"
    private static let interface = "org.freedesktop.machine1.Manager"
    private static let service = "perdure"

    /// Registers a virtual machine. machined sends signals for it to `leader`, and takes the leader's unit for the
    /// machine's: it may stop that unit.
    public static func register(_ name: String, leader: Int32, deadline: Duration) throws(ManagerError) {
        let bus = try Bus(.machined)
        _ = try bus.call(path, interface, "RegisterMachine", deadline: deadline) { request in
            request.append(name)
            // Nobody knows its ID.
            request.container("a", "y") {}
            request.append(service)
            request.append("vm")
            request.append(UInt32(leader))
            request.append("")
        }
    }

    /// Makes machined forget a machine that was registered by `register`; one of another program's is left alone.
    public static func unregister(_ name: String, deadline: Duration) throws(ManagerError) {
        let bus = try Bus(.machined)
        let reply = try bus.call(path, interface, "GetMachine", deadline: deadline) { $0.append(name) }
        guard let machine = reply.text("o") else { throw ManagerError("GetMachine", "unexpected reply") }
        let owner = try bus.property(
            machine,
            "org.freedesktop.machine1.Machine",
            "Service",
            type: "s",
            deadline: deadline
        )
        guard owner.text() == service else { return }
        _ = try bus.call(path, interface, "UnregisterMachine", deadline: deadline) { $0.append(name) }
    }
}
