import Linux

/// What QEMU says belongs into the journal of the guest's unit.
///
/// It is looked at when an operation has ended and when the watchdog is fed, which wakes this process anyway: a watch on
/// the file would take one more of the few inotify instances that a user can have, for each guest.
extension GuestSupervisor {
    /// How many lines are logged at a time of a QEMU that talks much.
    private static let outputLines = 100

    /// Logs what the VM processes have said and was not logged yet.
    func journalOutput() {
        for vm in processes.values { journalOutput(of: vm, upTo: GuestSupervisor.outputLines) }
    }

    /// Logs the rest of what a VM process that has ended has said.
    func finishOutput(of vm: VMProcess) { journalOutput(of: vm, upTo: ProcessOutput.size, isFinal: true) }

    private func journalOutput(of vm: VMProcess, upTo limit: Int, isFinal: Bool = false) {
        guard let output = vm.output else { return }
        let begin = vm.record.journaledOutput ?? 0
        let said = output.lines(from: begin, limit: limit, isFinal: isFinal)
        guard said.end != begin else { return }
        for line in said.lines { journal(.vmProcessSaid(line, generation: vm.generation)) }
        if said.end == ProcessOutput.size { journal(.outputFull(vm.title)) }
        vm.record.journaledOutput = said.end
        // For the next supervisor, which logs nothing twice and leaves nothing out.
        try? record { ledger in
            if ledger.current?.generation == vm.generation { ledger.current?.journaledOutput = said.end }
            if ledger.other?.generation == vm.generation { ledger.other?.journaledOutput = said.end }
        }
    }
}
