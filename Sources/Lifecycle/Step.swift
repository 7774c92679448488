/// One step of an operation, carried out by the driver. The raw values are names that people see.
public enum Step: String, CaseIterable, Sendable {
    /// Read the guest's definition and everything it names.
    case readDefinition = "read-definition"
    /// Ask the QEMU program what it is and what it can do; pin what must be pinned.
    case probeQEMU = "probe-qemu"
    /// Create RAM, vmstate and ledger, and have them in the descriptor store.
    case createMemory = "create-memory"
    /// Start the next VM process in a scope of its own, paused.
    case startVMProcess = "start-vm-process"
    /// Shake hands with the next VM process and set it up.
    case connect
    /// Compare the next VM process with the one that runs the guest.
    case compare
    /// Have the disks' images on stable storage, so that the stop has little left to write.
    case syncDisks = "sync-disks"
    case recordSaving = "record-saving"
    case stopGuest = "stop-guest"
    case saveState = "save-state"
    case recordSaved = "record-saved"
    case recordLoading = "record-loading"
    case loadState = "load-state"
    /// Load the device state into the VM process that is thrown away.
    case rehearseLoad = "rehearse-load"
    /// From here on the next VM process is the guest's.
    case recordCommit = "record-commit"
    case recordWaiting = "record-waiting"
    case recordRunning = "record-running"
    case continueGuest = "continue-guest"
    /// Kill and reap the VM process that has been replaced.
    case retireVMProcess = "retire-vm-process"
    /// Make the old VM process the guest's again: the new one has refused to continue it, and so has run nothing.
    case takeBackCommit = "take-back-commit"
    /// Kill and reap the VM process that was to be the next.
    case endNextVMProcess = "end-next-vm-process"
    /// End the guest's VM process, which has nothing left to do.
    case endVMProcess = "end-vm-process"
    /// Give back the memory of the saved state.
    case discardState = "discard-state"
    case recordStopping = "record-stopping"
    case recordLost = "record-lost"
    /// Stop the guest where it is, because a person wants it so.
    case pauseGuest = "pause-guest"
    /// Note that the guest is to stay paused, whatever is replaced.
    case recordPaused = "record-paused"
    case recordUnpaused = "record-unpaused"
    /// Press the guest's reset button.
    case resetGuest = "reset-guest"
    /// Press the guest's power button.
    case powerDown = "power-down"
    case awaitPowerOff = "await-power-off"
    /// Keep the RAM of a lost guest in a file, if that is asked for.
    case dumpMemory = "dump-memory"
    /// See whether the guest may be booted once more.
    case admitRestart = "admit-restart"
    /// Give the guest's memory back. The ledger stays until systemd gives the store up, so that a supervisor which is
    /// started by a crash of this one does not boot the guest anew.
    case emptyStore = "empty-store"
    /// Give the guest a DIMM, or take one away.
    case changeMemory = "change-memory"
    /// Have QEMU write the guest's memory and registers to whoever has asked for them.
    case dumpGuest = "dump-guest"
    /// Note for the next supervisor that it was started by a restart.
    case recordRestart = "record-restart"
}

/// What a supervisor does to a guest, as a list of steps.
public enum Operation: String, CaseIterable, Sendable {
    case start
    /// Put another VM process in the running one's place.
    case handover
    /// Load the guest's state into a VM process that never runs it, and go on in the one that does.
    case rehearse
    case save
    case exec
    case load
    /// Save the guest and end its VM process.
    case hold
    /// Load a saved guest into a new VM process and go on there: an exec and a load in one.
    case restore
    /// A person wants the guest to stand still.
    case pause
    /// The end of that.
    case unpause
    case reset
    /// The guest decides what it does about its power button.
    case powerdown
    /// End the guest as a power cut would.
    case kill
    /// Take a saved guest up again in the VM process that saved it.
    case resume
    /// A handover was cut off before its commit: go on in the old VM process.
    case rollBack = "roll-back"
    /// A handover was cut off after its commit: go on in the new VM process.
    case finishHandover = "finish-handover"
    case stop
    /// The guest has powered itself off.
    case conclude
    /// The guest is lost.
    case abandon
    /// Boot a guest that was lost.
    case startAnew = "start-anew"
    case changeMemory = "change-memory"
    /// Give a person the guest's memory and registers, for a debugger.
    case dump
    /// Make way for the next supervisor.
    case leave

    /// Of a handover or a rehearsal, while the guest runs.
    private static let preparation: [Step] = [
        .readDefinition, .probeQEMU, .startVMProcess, .connect, .compare, .syncDisks,
    ]

    public var steps: [Step] {
        switch self {
        case .start:
            [.readDefinition, .probeQEMU, .createMemory, .startVMProcess, .connect, .recordRunning, .continueGuest]
        case .handover:
            Operation.preparation + [
                .recordSaving, .stopGuest, .saveState, .recordLoading, .loadState, .recordCommit, .continueGuest,
                .retireVMProcess, .discardState,
            ]
        case .rehearse:
            Operation.preparation + [
                .recordSaving, .stopGuest, .saveState, .rehearseLoad, .endNextVMProcess, .recordRunning, .continueGuest,
                .discardState,
            ]
        case .save: [.syncDisks, .recordSaving, .stopGuest, .saveState, .recordSaved]
        case .exec:
            [.readDefinition, .probeQEMU, .startVMProcess, .connect, .compare, .recordWaiting, .retireVMProcess]
        case .load: [.loadState, .recordCommit, .continueGuest, .discardState]
        case .hold: Operation.save.steps + [.endVMProcess]
        case .restore: [.recordUnpaused] + Operation.exec.steps + Operation.load.steps
        case .pause: [.pauseGuest, .recordPaused]
        case .unpause: [.recordUnpaused, .continueGuest]
        case .reset: [.resetGuest]
        case .powerdown: [.powerDown]
        case .kill: [.recordStopping, .endVMProcess, .emptyStore]
        // Whoever continues a saved guest wants it to run.
        case .resume: [.recordUnpaused] + Operation.rollBack.steps
        case .rollBack: [.endNextVMProcess, .recordRunning, .continueGuest, .discardState]
        case .finishHandover: [.continueGuest, .retireVMProcess, .discardState]
        case .stop: [.recordStopping, .powerDown, .awaitPowerOff, .endVMProcess, .emptyStore]
        case .conclude: [.recordStopping, .endVMProcess, .emptyStore]
        case .abandon: [.recordLost, .dumpMemory, .emptyStore]
        case .startAnew: [.admitRestart] + Operation.start.steps
        case .changeMemory: [.changeMemory]
        case .dump: [.dumpGuest]
        case .leave: [.recordRestart]
        }
    }

    /// What undoes the operation when `step` has failed.
    public func undoing(_ step: Step) -> Undo {
        switch (self, step) {
        // Everything has been given up before.
        case (.startAnew, .admitRestart): .steps([])
        case (.start, _), (.startAnew, _): .steps([.endNextVMProcess, .endVMProcess, .emptyStore])
        // Nothing is worse off when the old VM process or the saved state stays a little longer.
        case (_, .retireVMProcess), (_, .discardState): .goOn
        case (.handover, _) where Operation.preparation.contains(step),
            (.rehearse, _) where Operation.preparation.contains(step):
            .steps([.endNextVMProcess])
        // It has a view of its own on RAM, and can't do the guest any harm.
        case (.rehearse, .endNextVMProcess): .goOn
        case (.handover, .continueGuest):
            .steps([.takeBackCommit, .endNextVMProcess, .recordRunning, .continueGuest, .discardState])
        case (.handover, _), (.rehearse, _): .steps([.endNextVMProcess, .recordRunning, .continueGuest, .discardState])
        case (.save, .syncDisks), (.hold, .syncDisks): .steps([])
        // The guest is saved all the same.
        case (.hold, .endVMProcess): .goOn
        case (.save, _), (.hold, _): .steps([.recordRunning, .continueGuest, .discardState])
        case (.exec, _): .steps([.endNextVMProcess])
        case (.load, _), (.restore, .loadState), (.restore, .recordCommit), (.restore, .continueGuest):
            .steps([.endVMProcess, .recordSaved])
        case (.restore, .recordUnpaused): .steps([])
        case (.restore, _): .steps([.endNextVMProcess])
        case (.pause, _): .steps([.continueGuest])
        case (.unpause, .continueGuest): .steps([.recordPaused])
        case (.unpause, _), (.reset, _), (.powerdown, _): .steps([])
        case (.resume, .recordUnpaused): .goOn
        // A guest that does not power off is ended all the same.
        case (.stop, _), (.conclude, _), (.abandon, _), (.kill, _): .goOn
        // It makes way only once the next supervisor will find everything.
        case (.leave, _): .steps([])
        // The step leaves nothing half done.
        case (.changeMemory, _), (.dump, _): .steps([])
        case (.resume, _), (.rollBack, _), (.finishHandover, _): .lose
        }
    }

    public enum Undo: Equatable, Sendable {
        /// The failure is reported and the operation goes on.
        case goOn
        case steps([Step])
        /// Nothing can be undone: the guest is lost.
        case lose
    }
}
