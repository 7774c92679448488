import CLinux
import Glibc

/// An interface of the host's network.
public enum NetworkInterface {
    /// What a virtio_net_hdr has where packets are not merged.
    private static let shortHeader = 10

    public static func exists(_ name: String) -> Bool { clinux_link_index(name) != 0 }

    /// By which the kernel knows it; 0 where there is none of that name.
    public static func index(of name: String) -> Int { Int(clinux_link_index(name)) }

    public static func isBridge(_ name: String) -> Bool { access("/sys/class/net/\(name)/bridge", F_OK) == 0 }

    /// The bridge that it is a port of.
    public static func bridge(of name: String) -> String? {
        var target = [UInt8](repeating: 0, count: 256)
        let length = readlink("/sys/class/net/\(name)/master", &target, target.count)
        guard length > 0 else { return nil }
        return String(decoding: target.prefix(length), as: UTF8.self).split(separator: "/").last.map(String.init)
    }

    public static func join(_ name: String, to bridge: String) throws(SystemCallError) {
        try check("SIOCBRADDIF", on: bridge) { clinux_bridge_add(bridge, name) }
    }

    public static func leave(_ name: String, from bridge: String) throws(SystemCallError) {
        try check("SIOCBRDELIF", on: bridge) { clinux_bridge_remove(bridge, name) }
    }

    /// - Parameter hearsAllGroups: it takes multicast packets whether the host wants them or not.
    public static func setUp(_ name: String, hearsAllGroups: Bool = false) throws(SystemCallError) {
        try check("SIOCSIFFLAGS", on: name) { clinux_link_set_up(name, hearsAllGroups ? 1 : 0) }
    }

    public static func setMTU(_ name: String, to mtu: Int) throws(SystemCallError) {
        try check("SIOCSIFMTU", on: name) { clinux_link_set_mtu(name, Int32(mtu)) }
    }

    /// - Parameter address: six octets.
    public static func setAddress(_ name: String, to address: [UInt8]) throws(SystemCallError) {
        precondition(address.count == 6, "an Ethernet address has six octets")
        try check("SIOCSIFHWADDR", on: name) { clinux_link_set_address(name, address) }
    }

    /// Keeps the kernel from giving it IPv6 addresses, and so from sending by itself.
    public static func beQuiet(_ name: String) throws(SystemCallError) {
        try check("RTM_NEWLINK", on: name) { clinux_link_be_quiet(clinux_link_index(name)) }
    }

    public static func delete(_ name: String) throws(SystemCallError) {
        let index = clinux_link_index(name)
        if index == 0 { throw SystemCallError("SIOCGIFINDEX", on: name) }
        try check("RTM_DELLINK", on: name) { clinux_link_delete(index) }
    }

    /// Sends packets out of the interface as if the host had, in their order. Returns how many could not be sent.
    /// - Parameters:
    ///   - header: bytes of the virtio_net_hdr before each packet.
    ///   - queue: of a tap, see `TapQueue.steer`.
    public static func send(
        _ packets: [[UInt8]],
        from name: String,
        header: Int,
        toQueue queue: Int? = nil
    ) throws(SystemCallError) -> Int {
        if packets.isEmpty { return 0 }
        let mark = queue.map { UInt32(CLINUX_TAP_MARK) + UInt32($0) } ?? 0
        let socket = Descriptor(
            owning: try check("socket", on: name) { clinux_link_sender(clinux_link_index(name), mark) }
        )
        var failures = 0
        for packet in packets where packet.count > header {
            let bytes = packet.prefix(min(header, shortHeader)) + packet.dropFirst(header)
            let sent = Array(bytes).withUnsafeBytes { Glibc.send(socket.raw, $0.baseAddress!, $0.count, 0) }
            if sent < 0 { failures += 1 }
        }
        return failures
    }
}
