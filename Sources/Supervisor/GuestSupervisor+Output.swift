import Linux

/// What QEMU says belongs into the journal of the guest's unit.
extension GuestSupervisor {
    /// How long a QEMU that talks much is let alone, and how many of its lines are logged after that.
    private static let outputRest = Duration.seconds(1)
    private static let outputLines = 100

    /// Logs what a VM process has said and was not logged yet, and from now on what it says.
    func watchOutput(of vm: VMProcess) {
        guard let output = vm.output, let writes = try? FileWatch.writes(to: output.file) else { return }
        let pid = vm.record.pid
        vm.outputWatch = loop.whenReadable(writes.descriptor) { [weak self] in
            self?.assumeIsolated { $0.restFromOutput(of: pid) }
        }
        // Looked at only after the watch is there: what is written in between is not missed.
        if journalOutput(of: vm, upTo: GuestSupervisor.outputLines) { restFromOutput(of: pid) }
    }

    private func restFromOutput(of pid: Int32) {
        guard let vm = processes[pid] else { return }
        vm.outputWatch = nil
        vm.outputTimer = loop.after(GuestSupervisor.outputRest) { [weak self] in
            self?.assumeIsolated { supervisor in
                if let vm = supervisor.processes[pid] { supervisor.watchOutput(of: vm) }
            }
        }
    }

    /// Logs the rest of what a VM process that has ended has said.
    func finishOutput(of vm: VMProcess) {
        (vm.outputWatch, vm.outputTimer) = (nil, nil)
        _ = journalOutput(of: vm, upTo: ProcessOutput.size, isFinal: true)
    }

    /// Returns whether there is more to be logged already.
    private func journalOutput(of vm: VMProcess, upTo limit: Int, isFinal: Bool = false) -> Bool {
        guard let output = vm.output else { return false }
        let begin = vm.record.journaledOutput ?? 0
        let said = output.lines(from: begin, limit: limit, isFinal: isFinal)
        guard said.end != begin else { return false }
        for line in said.lines { journal(.vmProcessSaid(line, generation: vm.generation)) }
        if said.end == ProcessOutput.size { journal(.outputFull(vm.title)) }
        vm.record.journaledOutput = said.end
        // For the next supervisor, which logs nothing twice and leaves nothing out.
        try? record { ledger in
            if ledger.current?.generation == vm.generation { ledger.current?.journaledOutput = said.end }
            if ledger.other?.generation == vm.generation { ledger.other?.journaledOutput = said.end }
        }
        return said.hasMore
    }
}
