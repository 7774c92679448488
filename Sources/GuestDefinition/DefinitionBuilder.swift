/// Makes a definition of the sections of all files together.
struct DefinitionBuilder {
    let name: String
    let sections: [Section]
    let files: any DefinitionFiles
    /// Paths of files that need not be there.
    var copied: Set<String> = []
    var problems: Problems

    /// Reports everything that is wrong; the result means something only if that was nothing.
    mutating func build() -> GuestDefinition {
        let guest = section(.guest)
        let accelerator =
            value("Accelerator", guest) { text throws(ValueProblem) in try Values.word(text, as: Accelerator.self) }
            ?? .kvm
        let enable = value("Enable", section(.console), Values.boolean) ?? true
        let (firmware, disks) = (firmware(), disks())
        checkVariables(firmware, beside: disks)
        let (cpuCount, topology) = processors()
        let ram = ram()
        var hardware = GuestHardware(
            machine: value("Machine", guest, Values.machine) ?? "q35",
            accelerator: accelerator,
            cpuCount: cpuCount,
            cpuModel: cpuModel(accelerator),
            uuid: value("UUID", guest, Values.uuid),
            ram: ram,
            kernel: kernel(disks),
            firmware: firmware,
            disks: disks,
            networks: networks(),
            cloudInit: cloudInit(),
            credentials: credentials(),
            console: enable,
            devices: devices()
        )
        hardware.topology = topology
        hardware.cpuFeatures = cpuFeatures()
        hardware.room = memoryRoom(ram)
        hardware.isLocked = value("Lock", section(.memory), Values.boolean) ?? false
        return GuestDefinition(
            name: name,
            description: value("Description", guest, Values.description),
            qemu: existingFile("QEMU", guest, [.regular]) ?? GuestDefinition.defaultQEMU,
            hardware: hardware,
            overcommit: value("Overcommit", section(.memory), Values.boolean) ?? false,
            handover: handover(),
            stop: stop(),
            crash: crash(),
            consoleRetain: consoleRetain(enable),
            consoleForward: consoleForward(enable),
            files: problems.sources.map(\.path)
        )
    }

    private mutating func cpuModel(_ accelerator: Accelerator) -> String {
        let cpu = section(.cpu)
        guard let model = value("Model", cpu, Values.cpuModel) else { return accelerator == .kvm ? "host" : "qemu64" }
        if model == "host", accelerator == .tcg, let place = cpu?.assignments["Model"]?.place {
            problems.add("the CPU model 'host' needs Accelerator=kvm; with tcg, use a named model", at: place)
        }
        return model
    }

    private mutating func ram() -> [RAMBlock] {
        let limits: ClosedRange<UInt64> = (32 << 20)...GuestHardware.largestRAM
        let found = sections.filter { $0.name.kind == .ram }
        if found.isEmpty {
            problems.add("there is no [RAM ID] section; add one, such as [RAM main] with Size=1G", inFile: 0)
        }
        let most = GuestHardware.ramBlockCounts.upperBound
        if found.count > most {
            let message = "this is RAM block \(most + 1), but QEMU takes at most \(most) NUMA nodes"
            problems.add(message, at: found[most].place)
        }
        var total: UInt64 = 0
        var blocks: [RAMBlock] = []
        for section in found {
            let size = required("Size", section) { text throws(ValueProblem) in try Values.size(text, in: limits) }
            guard let size, let place = section.assignments["Size"]?.place else { continue }
            if !size.isMultiple(of: 2 << 20) {
                problems.add("\(sizeText(size)) is not a multiple of 2M, the size of a huge page", at: place)
            }
            let sum = total + size
            if total <= limits.upperBound, sum > limits.upperBound {
                problems.add("with this, all RAM blocks together exceed \(sizeText(limits.upperBound))", at: place)
            }
            // Reported once; from there on, the sum must not overflow.
            total = min(sum, limits.upperBound + 1)
            blocks.append(RAMBlock(id: section.name.id, size: size, hugePages: hugePages(section, size: size)))
        }
        return blocks
    }

    private mutating func kernel(_ disks: [Disk]) -> DirectKernel? {
        guard let kernel = section(.kernel) else {
            if disks.isEmpty {
                problems.add(
                    "there is nothing to boot from; add a [Disk ID] section with an installed system, or [Kernel] with Image=",
                    inFile: 0
                )
            }
            return nil
        }
        return DirectKernel(
            image: requiredFile("Image", kernel, [.regular]) ?? "",
            initrd: existingFile("Initrd", kernel, [.regular]),
            commandLine: value("CommandLine", kernel, Values.kernelCommandLine) ?? ""
        )
    }

    private mutating func handover() -> HandoverTimeouts {
        let handover = section(.handover)
        let defaults = HandoverTimeouts()
        func span(_ text: String) throws(ValueProblem) -> Duration {
            try Values.timeSpan(text, in: .milliseconds(100) ... .seconds(600), "100ms to 10min")
        }
        return HandoverTimeouts(
            prepare: value("PrepareTimeoutSec", handover, span) ?? defaults.prepare,
            sync: value("SyncTimeoutSec", handover, span) ?? defaults.sync,
            stop: value("StopTimeoutSec", handover, span) ?? defaults.stop,
            save: value("SaveTimeoutSec", handover, span) ?? defaults.save,
            load: value("LoadTimeoutSec", handover, span) ?? defaults.load,
            resume: value("ContinueTimeoutSec", handover, span) ?? defaults.resume
        )
    }

    private mutating func stop() -> StopPolicy {
        let stop = section(.stop)
        let defaults = StopPolicy()
        let onStop = value("OnStop", stop) { text throws(ValueProblem) in try Values.word(text, as: OnStop.self) }
        let timeout = value("TimeoutSec", stop) { text throws(ValueProblem) in
            try Values.timeSpan(text, in: .seconds(1) ... .seconds(3600), "1s to 1h")
        }
        let limit = value("LimitSec", stop) { text throws(ValueProblem) in
            try Values.timeSpan(text, in: .seconds(1) ... .seconds(86400), "1s to 1d")
        }
        return StopPolicy(
            onStop: onStop ?? defaults.onStop,
            timeout: timeout ?? defaults.timeout,
            limit: limit ?? defaults.limit
        )
    }

    private mutating func crash() -> CrashPolicy {
        let crash = section(.crash)
        let defaults = CrashPolicy(dumpDirectory: CrashPolicy.defaultDumpDirectory(of: name))
        func count(_ text: String) throws(ValueProblem) -> Int { try Values.integer(text, in: 1...100) }
        let files = files
        let onCrash = value("OnCrash", crash) { text throws(ValueProblem) in try Values.word(text, as: OnCrash.self) }
        let burst = value("RestartLimitBurst", crash, count)
        let interval = value("RestartLimitIntervalSec", crash) { text throws(ValueProblem) in
            try Values.timeSpan(text, in: .seconds(1) ... .seconds(86_400), "1s to 1d")
        }
        let dump = value("Dump", crash, Values.boolean)
        let directory = value("DumpDirectory", crash) { text throws(ValueProblem) in
            try DefinitionBuilder.directory(text, files)
        }
        let retain = value("DumpRetain", crash, count)
        if onCrash != .restart {
            warnOfNoEffect(["RestartLimitBurst", "RestartLimitIntervalSec"], crash, unless: "OnCrash=restart")
        }
        if dump != true { warnOfNoEffect(["DumpDirectory", "DumpRetain"], crash, unless: "Dump=yes") }
        return CrashPolicy(
            onCrash: onCrash ?? defaults.onCrash,
            restartBurst: burst ?? defaults.restartBurst,
            restartInterval: interval ?? defaults.restartInterval,
            dump: dump ?? defaults.dump,
            dumpDirectory: directory ?? defaults.dumpDirectory,
            dumpRetain: retain ?? defaults.dumpRetain
        )
    }

    mutating func warnOfNoEffect(_ keys: [String], _ section: Section?, unless condition: String) {
        for key in keys {
            guard let assignment = section?.assignments[key], !assignment.value.isEmpty else { continue }
            problems.add("\(key)= has no effect without \(condition)", at: assignment.place, .warning)
        }
    }

    /// The path of a directory that is there, or of nothing.
    private static func directory(_ text: String, _ files: any DefinitionFiles) throws(ValueProblem) -> String {
        let (path, found) = try look(text, files)
        if let found, found.kind != .directory { throw ValueProblem("\(quoted(path)) is not a directory") }
        return path
    }

    private mutating func consoleRetain(_ isEnabled: Bool) -> UInt64 {
        let console = section(.console)
        let retain = value("Retain", console) { text throws(ValueProblem) in
            try Values.size(text, in: (64 << 10)...(64 << 20))
        }
        guard let retain else { return GuestDefinition.defaultConsoleRetain }
        if !isEnabled, let place = console?.assignments["Retain"]?.place {
            problems.add("Retain= has no effect, because the console is off by Enable=no", at: place, .warning)
        }
        return retain
    }

    private mutating func consoleForward(_ isEnabled: Bool) -> Bool {
        let console = section(.console)
        guard let forward = value("ForwardToJournal", console, Values.boolean) else { return false }
        if !isEnabled, let place = console?.assignments["ForwardToJournal"]?.place {
            problems.add(
                "ForwardToJournal= has no effect, because the console is off by Enable=no",
                at: place,
                .warning
            )
        }
        return forward
    }

    func section(_ kind: SectionKind) -> Section? {
        sections.first { $0.name.kind == kind }
    }

    /// The value of a key; nil if it is not set, or cannot be used, which is then reported.
    mutating func value<Value>(
        _ key: String,
        _ section: Section?,
        _ parse: (String) throws(ValueProblem) -> Value
    ) -> Value? {
        guard let assignment = section?.assignments[key], !assignment.value.isEmpty else { return nil }
        do {
            return try parse(assignment.value)
        } catch {
            problems.add(error.message, at: assignment.place)
            return nil
        }
    }

    mutating func required<Value>(
        _ key: String,
        _ section: Section,
        hint: String = "",
        _ parse: (String) throws(ValueProblem) -> Value
    ) -> Value? {
        if let assignment = section.assignments[key] {
            if assignment.value.isEmpty {
                problems.add("\(key)= is empty, but \(section.name.title) needs it\(hint)", at: assignment.place)
            }
        } else if !section.spoilt.contains(key) {
            problems.add("\(section.name.title) needs \(key)=\(hint)", at: section.place)
        }
        return value(key, section, parse)
    }

    mutating func requiredFile(_ key: String, _ section: Section, _ kinds: [FileStatus.Kind]) -> String? {
        let (files, copied) = (files, copied)
        return required(key, section) { text throws(ValueProblem) in try Self.existing(text, kinds, files, copied) }
    }

    mutating func existingFile(_ key: String, _ section: Section?, _ kinds: [FileStatus.Kind]) -> String? {
        let (files, copied) = (files, copied)
        return value(key, section) { text throws(ValueProblem) in try Self.existing(text, kinds, files, copied) }
    }

    private static func existing(
        _ text: String,
        _ kinds: [FileStatus.Kind],
        _ files: any DefinitionFiles,
        _ copied: Set<String>
    ) throws(ValueProblem) -> String {
        let (path, found) = try look(text, files)
        if found == nil && copied.contains(path) { return path }
        guard let found else { throw ValueProblem("\(quoted(path)) does not exist") }
        guard kinds.contains(found.kind) else {
            let wanted = kinds.contains(.blockDevice) ? "neither a file nor a block device" : "not a regular file"
            throw ValueProblem("\(quoted(path)) is \(found.kind == .directory ? "a directory" : wanted)")
        }
        return path
    }

    static func look(
        _ text: String,
        _ files: any DefinitionFiles
    ) throws(ValueProblem) -> (path: String, FileStatus?) {
        let path = try Values.absolutePath(text)
        do {
            return (path, try files.status(of: path))
        } catch {
            throw ValueProblem("\(quoted(path)) \(error.reason)")
        }
    }
}
