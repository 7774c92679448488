import Glibc
import GuestDefinition
import Linux

/// What networks need of the host, found out before anything is made.
public enum HostNetwork {
    static let tapDevice = "/dev/net/tun"
    static let vhostDevice = "/dev/vhost-net"

    /// Sentences on all that keeps a guest from being started; none if nothing does.
    ///
    /// - Parameter isRunning: The guest runs, and has its interfaces.
    public static func problems(_ hardware: GuestHardware, of guest: String, isRunning: Bool = false) -> [String] {
        var problems: [String] = []
        let taps = hardware.networks.filter { $0.type == .tap }
        if Locations.current.isUser, geteuid() != 0 {
            return taps.map { network in
                "[Network \(network.id)] is a tap, and only root makes interfaces: a user's guest can have Type=user, or "
                    + "be one of the system's"
            }
        }
        if !taps.isEmpty, access(tapDevice, R_OK | W_OK) < 0 {
            problems.append("'\(tapDevice)' can't be used; load the module tun, or use Type=user")
        }
        for network in taps {
            let title = "[Network \(network.id)]"
            if let bridge = network.bridge, let problem = problem(withBridge: bridge) {
                problems.append("\(problem), which \(title) names; make it, or change Bridge=")
            }
            if let uplink = network.uplink {
                let made = NetworkUplink(guest: guest, network: network, uplink: uplink)
                problems += made.problems
                if made.isNameTaken {
                    problems.append(
                        "there is an interface '\(uplink.interface)' already, which \(title) would make; remove it "
                            + "('ip link delete \(uplink.interface)')"
                    )
                }
            }
            if !isRunning, NetworkInterface.exists(network.interface) {
                problems.append(
                    "there is an interface '\(network.interface)' already, which \(title) would make; remove it "
                        + "('ip link delete \(network.interface)'), or set another Interface="
                )
            }
            if network.vhost == .yes, access(vhostDevice, R_OK | W_OK) < 0 {
                problems.append(
                    "'\(vhostDevice)' can't be used; load the module vhost_net, or set VHost=auto in \(title)"
                )
            }
        }
        return problems
    }

    /// What there is of a guest's networks.
    static func states(_ hardware: GuestHardware, of guest: String) -> [Preflight.NetworkState] {
        let hasVHost = access(vhostDevice, R_OK | W_OK) == 0
        return hardware.networks.map { network in
            if network.type == .user { return Preflight.NetworkState(network: network) }
            let uplink = network.uplink.map { NetworkUplink(guest: guest, network: network, uplink: $0) }
            return Preflight.NetworkState(
                network: network,
                isThere: NetworkInterface.exists(network.interface),
                bridge: NetworkInterface.bridge(of: network.interface),
                bridgeProblem: network.bridge.flatMap(problem(withBridge:)),
                parentProblem: uplink?.problems.first,
                isConnected: uplink?.isInPlace ?? true,
                hasVHost: hasVHost
            )
        }
    }

    /// Sentences on addresses that other guests' definitions have as well. One that can't be read is none.
    static func doubledAddresses(of definition: GuestDefinition, in loader: DefinitionLoader) -> [String] {
        var problems: [String] = []
        for other in loader.list() where other != definition.name {
            let taken = Set(((try? loader.load(other).0)?.hardware.networks ?? []).map(\.mac))
            for network in definition.hardware.networks where taken.contains(network.mac) {
                problems.append(
                    "'\(network.mac)' of [Network \(network.id)] is also an address of the guest '\(other)'; "
                        + "give each its own, or remove MACAddress="
                )
            }
        }
        return problems
    }

    static func problem(withBridge bridge: String) -> String? {
        guard NetworkInterface.exists(bridge) else { return "there is no bridge '\(bridge)'" }
        return NetworkInterface.isBridge(bridge) ? nil : "the interface '\(bridge)' is not a bridge"
    }
}
