import SystemTestSupport
import Testing

/// Handovers as the tests of devices have them, and what the guest says after one.
extension RunningGuest {
    /// Handovers, the fifth with a killed supervisor behind it, the tenth with a rehearsal, the fifteenth with one that is
    /// undone.
    /// - Parameter check: what has to hold after each of these three.
    func crossHandovers(_ count: Int, check: () async throws -> Void = {}) async throws {
        for number in 1...count {
            try await perdure("upgrade")
            switch number {
            case 5: try await killSupervisor()
            case 10: try await perdure("upgrade", "--dry-run")
            case 15: try await undoneHandover()
            default: continue
            }
            try await check()
        }
    }

    /// The next QEMU does not take the guest's state: it runs on, with all that has come for it meanwhile.
    func undoneHandover() async throws {
        let path = try await QEMUWrapper.otherMachine.install(on: system)
        let upgrade = try await perdure("upgrade", "--qemu", path, check: false)
        #expect(upgrade.stderr.contains("does not take the guest's state"), "\(upgrade.stderr)")
    }

    /// The guest's boot after some more ticks.
    /// - Parameter begin: what its console has said elsewhere before.
    func nextTicks(after begin: [UInt8]) async throws -> GuestConsole.Boot {
        // The first ones were written elsewhere.
        try await system.waitUntil("a tick on the new console") {
            try console.update()
            return console.lastTick > 0
        }
        try await console.wait(forTick: console.lastTick + 3)
        return try GuestConsole(begin + Array(console.bytes)).verified()
    }
}
