import Lifecycle
import Linux
import Systemd

extension GuestSupervisor {
    /// systemd keeps fewer descriptors than it was given.
    struct StoreShortage: Error, CustomStringConvertible {
        let description: String
    }

    /// Stores every descriptor of the inventory (again, which changes nothing for those that are there), and makes
    /// sure that systemd has kept them all.
    func storeInventory() async throws {
        try await oneAtATime {
            let entries = inventory.all
            let unit = unit
            let store = try await BlockingCalls.run {
                try DescriptorStore.store(entries, deadline: GuestSupervisor.managerDeadline)
                return try Manager.descriptorStore(of: unit, deadline: GuestSupervisor.managerDeadline)
            }
            if store.count >= entries.count { return }
            throw StoreShortage(description: explain(store, needed: entries.count))
        }
    }

    private func explain(_ store: Manager.StoredDescriptors, needed: Int) -> String {
        let kept = store.count == 0 ? "none" : "only \(store.count)"
        let text = "systemd keeps \(kept) of the guest's \(needed) file descriptors"
        // systemd refuses what a service without its unit's settings tells it.
        let end = Notifier.watchdogInterval.map {
            " within \($0): then its watchdog ends this supervisor, and the guest runs on without one until the unit is "
                + "started again"
        }
        return switch store.loadState {
        case "masked":
            "\(text), since '\(unit)' is masked; run '\(Locations.current.systemctl) unmask \(unit)'\(end ?? "")"
        case "not-found":
            "\(text), since the file of '\(unit)' is gone; bring it back and run '\(Locations.current.systemctl) daemon-reload'\(end ?? "")"
        case "loaded":
            "\(text); set FileDescriptorStoreMax= of '\(unit)' to 64 or more ('\(Locations.current.systemctl) edit \(unit)'), now it is "
                + "\(store.limit)"
        case let state: "\(text), since '\(unit)' is '\(state)'; see '\(Locations.current.systemctl) status \(unit)'"
        }
    }

    /// Forgets descriptors here and in systemd.
    func unstore(_ names: [String]) async throws {
        let known = names.filter { inventory[$0] != nil }
        if known.isEmpty { return }
        for name in known { inventory[name] = nil }
        try await oneAtATime {
            try await BlockingCalls.run { try DescriptorStore.remove(known, deadline: GuestSupervisor.managerDeadline) }
        }
    }

    /// A descriptor that is being stored must not come after its removal.
    private func oneAtATime(_ body: () async throws -> Void) async throws {
        while isStoreInUse { await withCheckedContinuation { storeWaiters.append($0) } }
        isStoreInUse = true
        defer {
            isStoreInUse = false
            if !storeWaiters.isEmpty { storeWaiters.removeFirst().resume() }
        }
        try await body()
    }

    func unstoreEnds(of generation: Int) async throws {
        try await unstore(inventory.ends(of: generation))
    }

    // MARK: Healing

    /// A reload may have made systemd drop what it kept for us, and forget what it was told, when the unit has changed.
    func managerReloaded() {
        if watchdog != nil { Notifier.send("WATCHDOG=1") }
        forgetStatus()
        tellStatus()
        if reloadWaiter != nil { return wakeReloadWaiter() }
        checkStore()
    }

    /// Stores what systemd has lost, and says so where it does not keep it.
    func checkStore() {
        storeTimer = nil
        if inventory.isEmpty {
            storeHealth = StoreHealth()
            return
        }
        if isStoreCheckWanted { return }
        isStoreCheckWanted = true
        loop.spawn {
            // A reload that comes while the store is looked at is looked at once more.
            isStoreCheckWanted = false
            var finding = StoreHealth.Finding.whole
            do {
                try await storeInventory()
            } catch let error as StoreShortage {
                finding = .short(reason: error.description)
            } catch {
                finding = .unknown(reason: "\(error)")
            }
            take(finding)
        }
    }

    private func take(_ finding: StoreHealth.Finding) {
        let (report, retryAfter) = storeHealth.take(finding)
        switch report {
        case .incomplete(let reason): journal(.storeIncomplete(reason))
        case .complete: journal(.storeComplete)
        case nil: break
        }
        storeTimer = retryAfter.map { delay in
            loop.after(delay) { [weak self] in self?.assumeIsolated { $0.checkStore() } }
        }
        if report != nil { tellStatus() }
    }

    /// Changes the ledger. The change is there for the next supervisor as soon as this returns.
    func record(_ change: (inout Ledger) -> Void) throws {
        guard var changed = ledger, ledgerFile != nil else {
            throw Lifecycle.Failure("there is no ledger for the guest '\(name)'")
        }
        change(&changed)
        if changed.standing != ledger?.standing || changed.standingSince == nil {
            changed.standingSince = LedgerTime.now
        }
        try ledgerFile?.write(changed)
        ledger = changed
        generation = changed.generation
    }
}
