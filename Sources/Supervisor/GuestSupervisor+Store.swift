import Lifecycle
import Linux
import Systemd

extension GuestSupervisor {
    /// Stores every descriptor of the inventory (again, which changes nothing for those that are there), and makes
    /// sure that systemd has kept them all.
    func storeInventory() async throws {
        let entries = inventory.all
        let unit = unit
        let kept = try await BlockingCalls.run {
            try DescriptorStore.store(entries, deadline: GuestSupervisor.managerDeadline)
            return try Manager.storedDescriptorCount(of: unit, deadline: GuestSupervisor.managerDeadline)
        }
        guard kept < entries.count else { return }
        throw Lifecycle.Failure(
            "systemd keeps only \(kept) of the guest's \(entries.count) file descriptors; "
                + "set FileDescriptorStoreMax= of '\(unit)' to 64 or more ('systemctl edit \(unit)')"
        )
    }

    /// Forgets descriptors here and in systemd.
    func unstore(_ names: [String]) async throws {
        let known = names.filter { inventory[$0] != nil }
        if known.isEmpty { return }
        for name in known { inventory[name] = nil }
        try await BlockingCalls.run { try DescriptorStore.remove(known, deadline: GuestSupervisor.managerDeadline) }
    }

    func unstoreEnds(of generation: Int) async throws {
        try await unstore([Inventory.qmp(generation)])
    }

    /// Changes the ledger. The change is there for the next supervisor as soon as this returns.
    func record(_ change: (inout Ledger) -> Void) throws {
        guard var changed = ledger, ledgerFile != nil else {
            throw Lifecycle.Failure("there is no ledger for the guest '\(name)'")
        }
        change(&changed)
        try ledgerFile?.write(changed)
        ledger = changed
        generation = changed.generation
    }
}
