import GuestDefinition
import Lifecycle
import QMP
import Varlink

/// How much memory the guest has, and changing that while it runs.
extension GuestSupervisor {
    /// A guest's kernel does not live with less.
    private static let smallestBalloon: UInt64 = 32 << 20

    func memory() async throws(Refusal) -> GuestInterface.Memory {
        let (vm, hardware) = try runningGuest()
        var balloon: Int?
        if hardware.single.balloon != nil {
            do {
                let reply = try await vm.qmp.execute(QueryBalloon(), deadline: GuestSupervisor.answerDeadline)
                balloon = Int(clamping: reply.actual)
            } catch {
                throw Refusal("QEMU does not say what the guest's balloon has: \(error)")
            }
        }
        return GuestInterface.Memory(
            blocks: hardware.ram.map { GuestInterface.MemoryBlock(id: $0.id, bytes: Int(clamping: $0.size)) },
            balloonBytes: balloon
        )
    }

    /// Asks the guest to keep so much of its memory and give back the rest. It does so in its own time.
    func setBalloon(bytes: Int) async throws(Refusal) -> GuestInterface.Memory {
        let (vm, hardware) = try runningGuest()
        guard hardware.single.balloon != nil else {
            throw Refusal(
                "the guest has no balloon; add a [Balloon] section to its definition, stop it and start it anew"
            )
        }
        let total = hardware.ram.reduce(0) { $0 + $1.size }
        guard let wanted = UInt64(exactly: bytes), (GuestSupervisor.smallestBalloon...total).contains(wanted) else {
            throw Refusal("the guest can be left with \(GuestSupervisor.smallestBalloon >> 20)M to \(total >> 20)M")
        }
        do {
            try await vm.qmp.execute(SetBalloon(bytes: wanted), deadline: GuestSupervisor.answerDeadline)
        } catch {
            throw Refusal("QEMU does not change the guest's balloon: \(error)")
        }
        return try await memory()
    }

    private func runningGuest() throws(Refusal) -> (VMProcess, GuestHardware) {
        switch lifecycle.state {
        case .standing(.running):
            if let current, let ledger { return (current, ledger.hardware) }
        case .operating, .recovering: throw Refusal("something is being done to it (\(summary)); try again")
        case .standing, .ended: break
        }
        throw Refusal("the guest is not running", isNotRunning: true)
    }
}
