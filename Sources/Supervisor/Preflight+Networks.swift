import GuestDefinition

extension Preflight {
    /// A network, and what the host has of it.
    struct NetworkState: Sendable {
        var network: Network
        var isThere = true
        /// The bridge that its interface is a port of.
        var bridge: String?
        /// What is wrong with the bridge that it should be a port of.
        var bridgeProblem: String?
        /// What is wrong with the interface that it should be on.
        var parentProblem: String?
        /// It leads to where it should, where that is another interface.
        var isConnected = true
        var hasVHost = true
    }

    var networkFindings: [Finding] { networks.flatMap(findings) }

    private func findings(_ state: NetworkState) -> [Finding] {
        let network = state.network
        let title = "[Network \(network.id)]"
        if network.type == .user {
            return [
                Finding(
                    .warning,
                    .connectionsCut,
                    "connections through the user networking of \(title) end with a handover",
                    "use a tap for what must stay connected"
                )
            ]
        }
        var found: [Finding] = []
        if network.vhost == .yes && !state.hasVHost {
            found.append(
                Finding(
                    .blocker,
                    .vhostMissing,
                    "'\(HostNetwork.vhostDevice)' can't be used, and \(title) has VHost=yes",
                    "load the module vhost_net, or set VHost=auto"
                )
            )
        }
        if let problem = state.bridgeProblem {
            found.append(
                Finding(
                    .warning,
                    .bridgeMissing,
                    "\(problem), which \(title) names",
                    "make it; the next handover makes the guest's interface a port of it"
                )
            )
        }
        if let problem = state.parentProblem {
            found.append(
                Finding(
                    .warning,
                    .parentMissing,
                    problem,
                    "the next handover puts the guest's interface on it once that is possible"
                )
            )
        }
        if running != nil && !state.isThere {
            found.append(
                Finding(
                    .warning,
                    .networkGone,
                    "the interface '\(network.interface)' of \(title) is gone, and with it the guest's network",
                    "the next handover makes it anew"
                )
            )
        } else if running != nil, state.bridge != network.bridge, state.bridgeProblem == nil {
            let now = state.bridge.map { "a port of '\($0)'" } ?? "no bridge's port"
            found.append(
                Finding(
                    .warning,
                    .networkMoved,
                    "the interface '\(network.interface)' of \(title) is \(now)"
                        + (network.bridge.map { " instead of one of '\($0)'" } ?? ""),
                    "the next handover changes that"
                )
            )
        } else if running != nil, !state.isConnected, state.parentProblem == nil, let parent = network.uplink?.parent {
            found.append(
                Finding(
                    .warning,
                    .networkMoved,
                    "the interface '\(network.interface)' of \(title) does not lead to '\(parent)' as the definition has it",
                    "the next handover changes that"
                )
            )
        }
        return found
    }
}
