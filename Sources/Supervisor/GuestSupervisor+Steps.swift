import Lifecycle

extension GuestSupervisor {
    /// Carries one step out. Throws where it has had no effect, unless the failure's kind says otherwise.
    func perform(_ step: Step) async throws {
        switch step {
        case .readDefinition: try await readDefinition()
        case .probeQEMU: try await probeQEMU()
        case .createMemory: try await createMemory()
        case .startVMProcess: try await startVMProcess()
        case .connect: try await connectNext()
        case .compare: try await compare()
        case .syncDisks: try await syncDisks()
        case .recordSaving: try recordSaving()
        case .stopGuest: try await stopGuest()
        case .saveState: try await saveState()
        case .recordSaved: try recordSaved()
        case .recordLoading: try record { $0.phase = .loading }
        case .loadState: try await loadState()
        case .rehearseLoad: try await rehearseLoad()
        case .recordCommit: try recordNext(as: .committed)
        case .recordWaiting: try recordNext(as: .waiting)
        case .recordRunning: try recordRunning()
        case .continueGuest: try await continueGuest()
        case .retireVMProcess: try await retirePrevious()
        case .takeBackCommit: try takeBackCommit()
        case .endNextVMProcess: try await endNext()
        case .endVMProcess: try await endCurrent()
        case .discardState:
            try discardState()
            await forwardPorts()
        case .recordStopping: try record { $0.phase = .stopping }
        case .recordLost: try record { $0.phase = .lost }
        case .pauseGuest: try await pauseGuest()
        case .recordPaused: try record { $0.isPaused = true }
        case .recordUnpaused: try record { $0.isPaused = nil }
        case .resetGuest: try await resetGuest()
        case .powerDown: try await powerDown()
        case .awaitPowerOff: try await awaitPowerOff()
        case .dumpMemory: try await dumpMemory()
        case .admitRestart: try await admitRestart()
        case .emptyStore: try await emptyStore()
        case .changeMemory: try await changeMemory()
        case .dumpGuest: try await dumpGuest()
        case .recordRestart: try await recordRestart()
        }
    }
}
