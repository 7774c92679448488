import Glibc
import GuestDefinition
import Lifecycle
import QMP
import Varlink

/// How much memory the guest has, and changing that while it runs.
extension GuestSupervisor {
    /// A guest's kernel does not live with less.
    private static let smallestBalloon: UInt64 = 32 << 20

    /// A user's VM process may lock so much and no more: beyond that, QEMU ends.
    func checkLock(_ hardware: GuestHardware) throws(Lifecycle.Failure) {
        guard hardware.isLocked, geteuid() != 0 else { return }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else { return }
        let wanted = hardware.memoryBlocks.reduce(0) { $0 + $1.size }
        if UInt64(limit.rlim_cur) > wanted { return }
        throw Lifecycle.Failure(
            "Lock=yes in [Memory] takes more than the guest's \(wanted >> 20) MiB, and this user may lock "
                + "\(UInt64(limit.rlim_cur) >> 20) MiB; set LimitMEMLOCK= of 'user@\(geteuid()).service', or remove Lock="
        )
    }

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
            blocks: hardware.memoryBlocks.map { GuestInterface.MemoryBlock(id: $0.id, bytes: Int(clamping: $0.size)) },
            maximumBytes: hardware.room.map { Int(clamping: $0.maximumSize) },
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
        let total = hardware.memoryBlocks.reduce(0) { $0 + $1.size }
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

    /// Refuses memory that the host does not have, where the definition does not allow for it.
    func checkHostMemory(_ blocks: [RAMBlock], _ remedy: String) throws {
        let ordinary = blocks.filter { $0.hugePages == nil }.reduce(0) { $0 + $1.size }
        let available = try MemoryInformation.available()
        guard ordinary <= available || definition?.overcommit == true else {
            throw Lifecycle.Failure(
                "the guest wants \(ordinary >> 20) MiB of RAM, and the host has \(available >> 20) MiB left; \(remedy), "
                    + "or allow it by Overcommit=yes in [Memory]"
            )
        }
        // Pages that are set aside are never overcommitted: a guest that touches one more is killed.
        for pages in HugePageSize.allCases {
            let wanted = blocks.filter { $0.hugePages == pages }.reduce(0) { $0 + $1.size } / pages.bytes
            if wanted == 0 { continue }
            let free = MemoryInformation.freeHugePages(ofSize: pages.bytes)
            guard wanted <= free else {
                throw Lifecycle.Failure(
                    "the guest wants \(wanted) huge pages of \(pages.rawValue), and the host has \(free) free; set more "
                        + "aside in '\(MemoryInformation.hugePages(ofSize: pages.bytes))/nr_hugepages'"
                )
            }
        }
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
