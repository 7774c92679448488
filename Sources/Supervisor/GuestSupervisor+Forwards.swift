import GuestDefinition
import Linux
import QMP

/// Ports of the host that user networking forwards to the guest.
extension GuestSupervisor {
    /// Forwards what the VM process does not yet forward: one that has taken the guest over could not, since the ports
    /// were still those of the one before.
    func forwardPorts() async {
        guard let current, let hardware = ledger?.hardware else { return }
        let networks = hardware.networks.filter { !$0.forwards.isEmpty }
        if networks.isEmpty { return }
        do {
            let known = ForwardedPorts(listing: try await monitor(current, "info usernet"))
            for network in networks {
                for forward in network.forwards where !known.contains(forward) {
                    let backend = QEMUCommandLine.backend(of: network)
                    let answer = try await monitor(current, "hostfwd_add \(backend) \(forward.rule)")
                    if !answer.isEmpty { journal(.networkProblem(network.id, ForeignText.printable(answer))) }
                }
            }
        } catch {
            journal(.networkProblem(networks[0].id, "ports can't be forwarded: \(error)"))
        }
    }

    private func monitor(_ vm: VMProcess, _ line: String) async throws -> String {
        let command = HumanMonitorCommand(line)
        return try await vm.qmp.execute(command, deadline: GuestSupervisor.answerDeadline)
    }
}

/// What QEMU says of the ports that it forwards, in words for people.
struct ForwardedPorts: Equatable, Sendable {
    private var known: Set<String> = []

    /// - Parameter text: of 'info usernet': protocol, descriptor, address and port, the guest's address and port.
    init(listing text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 6, let end = words[0].firstIndex(of: "["), words[0].hasSuffix("[HOST_FORWARD]") else {
                continue
            }
            let address = words[2] == "*" ? "0.0.0.0" : words[2]
            known.insert("\(words[0][..<end].lowercased()):\(address):\(words[3])-:\(words[5])")
        }
    }

    func contains(_ forward: PortForward) -> Bool { known.contains(forward.rule) }
}
