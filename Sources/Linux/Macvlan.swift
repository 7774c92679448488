import CLinux
import Glibc

/// What an interface with an address of its own on another one has to do with the others there.
public enum MacvlanMode: String, Sendable, Codable, CaseIterable {
    /// They reach one another.
    case bridge
    /// Through a switch that sends back what is for them.
    case vepa
    /// Not at all.
    case `private`
    /// There are none: it has the other interface's address, and all that comes in there.
    case passthru

    fileprivate var number: UInt32 {
        switch self {
        case .private: UInt32(CLINUX_MACVLAN_PRIVATE)
        case .vepa: UInt32(CLINUX_MACVLAN_VEPA)
        case .bridge: UInt32(CLINUX_MACVLAN_BRIDGE)
        case .passthru: UInt32(CLINUX_MACVLAN_PASSTHRU)
        }
    }
}

extension NetworkInterface {
    /// Makes an interface on another one.
    /// - Parameter address: six octets; none in the mode passthru.
    public static func createMacvlan(
        _ name: String,
        on parent: String,
        mode: MacvlanMode,
        address: [UInt8]?
    ) throws(SystemCallError) {
        precondition(address.map { $0.count == 6 } ?? true, "an Ethernet address has six octets")
        let lower = clinux_link_index(parent)
        if lower == 0 { throw SystemCallError("SIOCGIFINDEX", on: parent) }
        try check("RTM_NEWLINK", on: name) { clinux_macvlan_create(name, lower, mode.number, address) }
    }

    /// Text of any kind that the kernel keeps with an interface, at most 255 bytes.
    public static func alias(of name: String) -> String? { attribute("ifalias", of: name) }

    public static func setAlias(of name: String, to alias: String) throws(SystemCallError) {
        try check("RTM_NEWLINK", on: name) { clinux_link_set_alias(clinux_link_index(name), alias) }
    }

    /// Sends out of one interface all that comes in by another. What had been set up there before is gone.
    public static func redirect(_ name: String, to other: String) throws(SystemCallError) {
        try check("RTM_NEWTFILTER", on: name) {
            clinux_link_redirect(clinux_link_index(name), clinux_link_index(other))
        }
    }

    /// The number of the interface that it is on.
    public static func lowerIndex(of name: String) -> Int? { attribute("iflink", of: name).flatMap { Int($0) } }

    /// Names of the interfaces that are on it.
    public static func uppers(of name: String) -> [String] {
        let names = (try? Directory.names(in: "/sys/class/net/\(name)")) ?? []
        return names.filter { $0.hasPrefix("upper_") }.map { String($0.dropFirst("upper_".count)) }.sorted()
    }

    public static var all: [String] {
        ((try? Directory.names(in: "/sys/class/net")) ?? []).filter { !$0.hasPrefix(".") }.sorted()
    }

    /// Bytes of the largest packet.
    public static func mtu(of name: String) -> Int? { attribute("mtu", of: name).flatMap { Int($0) } }

    /// The host's own (`lo`) is none.
    public static func isEthernet(_ name: String) -> Bool { attribute("type", of: name) == "1" }

    private static func attribute(_ attribute: String, of name: String) -> String? {
        guard let bytes = try? Descriptor.open("/sys/class/net/\(name)/\(attribute)", O_RDONLY).read(at: 0, count: 512)
        else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
}
