import Glibc
import GuestDefinition
import Lifecycle
import Linux

/// What makes a guest's tap one more address on an interface of the host, as a macvtap is: a macvlan interface there, and
/// each of the two sends out what comes in by the other.
///
/// Not a macvtap: no program can choose which of its queues packets go to, and nothing can be put back into one.
struct NetworkUplink {
    let guest: String
    let network: Network
    let uplink: Network.Uplink

    private var tap: String { network.interface }
    private var name: String { uplink.interface }

    /// How the aliases of a guest's interfaces begin.
    private static func mark(of guest: String) -> String { "perdure guest=\(guest) " }

    /// The aliases, which are set last, say what the two interfaces have been connected to.
    private var alias: String {
        NetworkUplink.mark(of: guest)
            + "network=\(network.id) mode=\(uplink.mode.rawValue) tap=\(NetworkInterface.index(of: tap))"
    }

    private var tapAlias: String {
        NetworkUplink.mark(of: guest) + "network=\(network.id) macvlan=\(NetworkInterface.index(of: name))"
    }

    /// Whether the guest's tap leads to where the definition wants it to.
    var isInPlace: Bool {
        NetworkInterface.exists(name) && NetworkInterface.exists(tap)
            && NetworkInterface.lowerIndex(of: name) == NetworkInterface.index(of: uplink.parent)
            && NetworkInterface.alias(of: name) == alias && NetworkInterface.alias(of: tap) == tapAlias
    }

    /// Whether an interface of that name would be in the way.
    var isNameTaken: Bool {
        NetworkInterface.exists(name)
            && NetworkInterface.alias(of: name)?.hasPrefix(NetworkUplink.mark(of: guest)) != true
    }

    /// Leads the tap, which is there, to where the definition wants it to.
    func connect() throws {
        if isInPlace { return try NetworkInterface.setUp(name, hearsAllGroups: true) }
        if isNameTaken {
            throw Lifecycle.Failure("there is an interface '\(name)' already, which [Network \(network.id)] would make")
        }
        if NetworkInterface.exists(name) { try NetworkInterface.delete(name) }
        do {
            try NetworkInterface.createMacvlan(
                name,
                on: uplink.parent,
                mode: uplink.mode,
                address: uplink.mode == .passthru ? nil : network.octets
            )
        } catch {
            throw Lifecycle.Failure("[Network \(network.id)] can't be put on '\(uplink.parent)': \(explain(error))")
        }
        do {
            try? NetworkInterface.beQuiet(name)
            if let mtu = network.mtu { try NetworkInterface.setMTU(name, to: mtu) }
            try NetworkInterface.redirect(name, to: tap)
            try NetworkInterface.redirect(tap, to: name)
            // Which groups the guest is in, the kernel does not know.
            try NetworkInterface.setUp(name, hearsAllGroups: true)
            try NetworkInterface.setAlias(of: tap, to: tapAlias)
            try NetworkInterface.setAlias(of: name, to: alias)
        } catch {
            try? NetworkInterface.delete(name)
            throw Lifecycle.Failure("[Network \(network.id)] can't be put on '\(uplink.parent)': \(explain(error))")
        }
    }

    private func explain(_ error: any Error) -> String {
        guard let error = error as? SystemCallError else { return "\(error)" }
        switch (error.call, error.code) {
        case ("RTM_NEWLINK", EBUSY), ("RTM_NEWLINK", EINVAL):
            return "\(error); it may be part of a bridge or of a bond, or another interface may have it for itself "
                + "(Mode=passthru)"
        case ("RTM_NEWLINK", EOPNOTSUPP): return "\(error); load the module macvlan"
        case ("SIOCSIFFLAGS", EBUSY): return "another interface there has the address '\(network.mac)'"
        case ("RTM_NEWTFILTER", ENOENT), ("RTM_NEWTFILTER", EOPNOTSUPP):
            return "\(error); load the modules sch_ingress, cls_u32 and act_mirred"
        default: return "\(error)"
        }
    }

    /// Removes what a guest that is off has left: a tap goes with its last queue, a macvlan interface does not.
    static func remove(of guest: String) throws {
        for name in NetworkInterface.all
        where NetworkInterface.alias(of: name)?.hasPrefix(mark(of: guest)) == true
            && NetworkInterface.lowerIndex(of: name) != NetworkInterface.index(of: name)
        {
            try NetworkInterface.delete(name)
        }
    }

    /// Sentences on what keeps it from being made; none if nothing does.
    var problems: [String] {
        let title = "[Network \(network.id)]"
        guard NetworkInterface.exists(uplink.parent) else {
            return ["there is no interface '\(uplink.parent)', which \(title) names; change Parent="]
        }
        guard NetworkInterface.isEthernet(uplink.parent) else {
            return ["the interface '\(uplink.parent)', which \(title) names, has no Ethernet addresses; change Parent="]
        }
        if let bridge = NetworkInterface.bridge(of: uplink.parent) {
            return [
                "the interface '\(uplink.parent)', which \(title) names, belongs to '\(bridge)' and can't be another's "
                    + "parent besides; if that is a bridge, use Type=tap and Bridge=\(bridge), else Parent=\(bridge)"
            ]
        }
        var problems: [String] = []
        if let mtu = network.mtu, let limit = NetworkInterface.mtu(of: uplink.parent), mtu > limit {
            problems.append("'\(uplink.parent)' takes packets of \(limit) bytes, and \(title) has MTU=\(mtu); lower it")
        }
        let others = NetworkInterface.uppers(of: uplink.parent).filter { $0 != name }
        if uplink.mode == .passthru, let other = others.first {
            problems.append(
                "\(title) would have '\(uplink.parent)' for itself by Mode=passthru, but '\(other)' is on it, too; use "
                    + "Mode=bridge"
            )
        }
        return problems
    }
}

/// The interfaces of guests that nobody takes care of.
public enum GuestInterfaces {
    public static func remove(of guest: String) throws { try NetworkUplink.remove(of: guest) }
}
