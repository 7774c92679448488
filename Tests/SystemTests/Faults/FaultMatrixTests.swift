import Lifecycle
import SystemTestSupport
import Testing

extension SystemTests {
    /// A guest runs exactly once, or is reported lost, whatever fault comes at whatever step.
    @Suite struct FaultMatrixTests {
        /// Short enough that a hung VM process does not take long, and still no cause of failure of their own.
        static let plan = GuestPlan(
            testedMiB: 16,
            diskFormat: "qcow2",
            options: ["tick_ms=100", "disk_ms=20"],
            handover: [
                "PrepareTimeoutSec=4", "SyncTimeoutSec=3", "StopTimeoutSec=2", "SaveTimeoutSec=2", "LoadTimeoutSec=3",
                "ContinueTimeoutSec=2",
            ],
            stop: ["TimeoutSec=5"]
        )

        @Test func selectionHasEveryStep() {
            func steps(_ cases: [FaultCase]) -> Set<String> {
                Set(cases.map { "\($0.point.isUndoing) \($0.point.operation) \($0.point.step)" })
            }
            #expect(steps(FaultCase.selection) == steps(FaultCase.all.filter { !$0.point.isOfAnotherOperation }))
            #expect(Set(FaultCase.selection.map(\.fault)) == Set(Fault.allCases))
            print("\(FaultCase.selection.count) of \(FaultCase.all.count) fault cases are selected")
        }

        @Test func everyStepOnce() async throws {
            try await withBootedSystem { system in
                let run = try await FaultRun(Self.plan, on: system)
                try await run.runAll(FaultCase.selection)
                print(run.report)
            }
        }
    }
}

extension FaultRun {
    /// Those last in which a supervisor hangs: only then does its watchdog have to be quick.
    func runAll(_ cases: [FaultCase]) async throws {
        var offFirst = cases.filter { $0.point.beginsOff && $0.fault != .stopSupervisor }
        // A case that has ended the guest is followed by one that boots it.
        for fault in cases where !fault.point.beginsOff && fault.fault != .stopSupervisor {
            await run(fault)
            if isOff, let next = offFirst.popLast() { await run(next) }
        }
        for fault in offFirst { await run(fault) }
        let hangs = cases.filter { $0.fault == .stopSupervisor }
        if !hangs.isEmpty {
            try await guest.dropIn("[Service]\nWatchdogSec=3s\n")
            // Only the next supervisor is told of its watchdog.
            if !isOff { try await guest.systemctl("restart") }
            for fault in hangs { await run(fault) }
            try await guest.removeDropIn()
        }
        try await finish()
    }
}
