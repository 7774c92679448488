import GuestDefinition
import Lifecycle
import Linux
import Varlink

extension GuestSupervisor {
    var status: GuestInterface.Status {
        GuestInterface.Status(
            guest: name,
            state: stateName,
            summary: summary,
            generation: current?.generation ?? ledger?.generation ?? 0,
            pid: current.map { Int($0.record.pid) },
            qemu: current?.record.qemu,
            qemuVersion: current.map { "\($0.record.version)" },
            lastPauseUsec: ledger?.lastPause,
            refusal: ledger?.lastRefusal?.sentence,
            since: ledger?.standingSince,
            memory: ledger.map { $0.hardware.ram.reduce(0) { $0 + Int($1.size) } },
            consoleBytes: (try? inventory[Inventory.consoleLog]?.size()).map(Int.init) ?? 0,
            outdated: current.map { $0.generation == outdatedGeneration } ?? false,
            replacedFirmware: replacedFirmware.paths,
            step: toldStep
        )
    }

    /// The step under way. While the guest is paused for it, nothing is in a handover's way, least of all those who watch.
    var toldStep: String? {
        guard case .operating(let run) = lifecycle.state else { return nil }
        let hurried: Set<Step> = [
            .stopGuest, .saveState, .recordLoading, .loadState, .rehearseLoad, .recordCommit, .continueGuest,
        ]
        return hurried.contains(run.step) ? lastStep : run.step.rawValue
    }

    /// Finds out whether the guest's VM process executes what is installed, and has the firmware that is installed.
    func lookForReplacedFiles() async {
        await lookForReplacedFirmware()
        guard let current else { return }
        let generation = current.generation
        let view = try? await view(of: current)
        let files = try? await BlockingCalls.run { view.map(OutdatedProgram.replacedFiles) }
        if let files { outdatedGeneration = files.isEmpty ? nil : generation }
    }

    /// Says so once where another firmware was installed since the guest was started.
    func lookForReplacedFirmware() async {
        let paths = ledger?.firmwarePaths ?? [:]
        let copies = paths.compactMap { name, path in inventory[name].map { (path: path, file: $0) } }
        let known = replacedFirmware
        let now = try? await BlockingCalls.run {
            var now = known
            now.look(at: copies)
            return now
        }
        // Another look may have been faster.
        guard let now, replacedFirmware.paths == known.paths else { return }
        replacedFirmware = now
        let new = now.paths.filter { !known.paths.contains($0) }
        if !new.isEmpty { journal(.firmwareReplaced(new)) }
    }

    private var stateName: String {
        switch lifecycle.state {
        case .recovering: "recovering"
        case .operating(let run): run.operation.rawValue
        case .ended: "ended"
        case .standing(.off): "off"
        case .standing(.running): lifecycle.isPaused ? "paused" : "running"
        case .standing(.saved): "saved"
        case .standing(.waiting): "waiting"
        case .standing(.unclear): "unclear"
        }
    }

    /// A sentence for `systemctl status`.
    var summary: String {
        let process = current.map { "VM process \($0.generation) (QEMU \($0.record.version))" } ?? "no VM process"
        let pause =
            ledger?.lastPause.map { "; the last handover paused it for \(Milliseconds(microseconds: $0))" } ?? ""
        let problem = handoverProblem.map { "; not handed over: \($0)" } ?? pause
        let store = storeHealth.problem.map { "; would not survive its supervisor: \($0)" } ?? ""
        return standing(process, problem) + store
    }

    private func standing(_ process: String, _ problem: String) -> String {
        switch lifecycle.state {
        case .recovering: "Looking for what there is of the guest"
        case .operating(let run): describe(run.operation)
        case .ended: "Ended"
        case .standing(.off): "Off"
        case .standing(.running) where lifecycle.isPaused:
            "Paused in \(process) by a person; 'perdure resume \(name)' continues it"
        case .standing(.running): "Running in \(process)\(problem)"
        case .standing(.saved(hasVMProcess: true)): "Saved, paused in \(process); go on with 'perdure exec'"
        case .standing(.saved(hasVMProcess: false)):
            "Held: saved, without a VM process; 'perdure resume \(name)' continues it"
        case .standing(.waiting): "Saved; \(process) waits to load it ('perdure load')"
        case .standing(.unclear(let reason)): "Left untouched: \(reason)"
        }
    }

    private func describe(_ operation: Operation) -> String {
        switch operation {
        case .start: "Starting"
        case .handover: "Handing over to the next VM process"
        case .rehearse: "Rehearsing a handover"
        case .save: "Saving"
        case .exec: "Replacing the VM process"
        case .load: "Loading"
        case .hold: "Saving, to be held without a VM process"
        case .restore: "Loading into a new VM process"
        case .pause: "Pausing"
        case .unpause: "Continuing"
        case .reset: "Resetting"
        case .powerdown: "Pressing the power button"
        case .kill: "Ending the guest at once"
        case .resume, .rollBack: "Continuing in the old VM process"
        case .finishHandover: "Finishing a handover"
        case .stop: "Powering off"
        case .conclude: "Powered off"
        case .abandon: "Lost"
        case .startAnew: "Starting anew"
        case .changeMemory: "Changing the guest's memory"
        case .dump: "Dumping the guest's memory"
        case .leave: "Making way for the next supervisor"
        }
    }
}
