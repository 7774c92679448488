extension DefinitionBuilder {
    mutating func devices() -> GuestDevices {
        GuestDevices(
            rng: isWanted(.rng),
            balloon: balloon(),
            watchdog: watchdog(),
            pvpanic: isWanted(.pvpanic),
            agent: isWanted(.agent),
            tpm: tpm(),
            display: isWanted(.display),
            extraArguments: value("ExtraArguments", section(.qemu), Values.extraArguments) ?? []
        )
    }

    /// A device is there where its section is, unless that says otherwise.
    private mutating func isWanted(_ kind: SectionKind) -> Bool {
        guard let section = section(kind) else { return false }
        return value("Enable", section, Values.boolean) ?? true
    }

    private mutating func balloon() -> Balloon? {
        let section = section(.balloon)
        let defaults = Balloon()
        let reporting = value("FreePageReporting", section, Values.boolean)
        let deflate = value("DeflateOnOOM", section, Values.boolean)
        guard isWanted(.balloon) else { return nil }
        return Balloon(
            freePageReporting: reporting ?? defaults.freePageReporting,
            deflateOnOOM: deflate ?? defaults.deflateOnOOM
        )
    }

    private mutating func tpm() -> TPMModel? {
        let model = value("Model", section(.tpm), Values.tpmModel)
        return isWanted(.tpm) ? model ?? .tis : nil
    }

    private mutating func watchdog() -> WatchdogAction? {
        let action = value("Action", section(.watchdog), Values.watchdogAction)
        return isWanted(.watchdog) ? action ?? .reset : nil
    }
}

extension Values {
    static func tpmModel(_ text: String) throws(ValueProblem) -> TPMModel {
        if text == "crb" {
            throw ValueProblem(
                "'crb' can't be used: with it QEMU loses the answer to what the guest asks its TPM while it is handed over; "
                    + "use 'tis'"
            )
        }
        return try word(text, as: TPMModel.self)
    }

    static func watchdogAction(_ text: String) throws(ValueProblem) -> WatchdogAction {
        switch text {
        case "poweroff":
            throw ValueProblem("'poweroff' can't be used: it ends QEMU as a crash would; use 'shutdown' or 'reset'")
        case "pause", "debug":
            throw ValueProblem("\(quoted(text)) can't be used: it would leave the guest paused; use 'none' or 'reset'")
        default: return try word(text, as: WatchdogAction.self)
        }
    }

    /// Words with white space between them; one with white space in it stands in quotes, as in a shell.
    static func extraArguments(_ text: String) throws(ValueProblem) -> [String] {
        guard text.utf8.count <= 4096 else {
            throw ValueProblem("this has \(text.utf8.count) bytes, but extra arguments may have at most 4096")
        }
        let words = try self.words(text)
        if let first = words.first, !first.hasPrefix("-") {
            throw ValueProblem("\(quoted(first)) is not an option; begin with one, as in '-device virtio-keyboard-pci'")
        }
        for (position, word) in words.enumerated() where word.hasPrefix("-") {
            // QEMU takes two dashes for one.
            let option = word.hasPrefix("--") ? String(word.dropFirst()) : word
            if let section = perduresOptions[option] {
                throw ValueProblem("\(quoted(word)) can't be used: \(section)")
            }
            let value = position + 1 < words.count ? words[position + 1] : ""
            if option == "-object", value.contains("memory-backend") {
                throw ValueProblem("\(quoted(value)) can't be used: RAM that is not in a [RAM ID] section is lost")
            }
        }
        return words
    }

    private static func words(_ text: String) throws(ValueProblem) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in text {
            if let open = quote {
                if character == open { quote = nil } else { word?.append(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" {
                if let complete = word { words.append(complete) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let quote { throw ValueProblem("a quote \(quote) is not closed") }
        if let word { words.append(word) }
        return words
    }

    /// Options that would work against Perdure, and why.
    private static let perduresOptions: [String: String] = {
        let reasons: [(String, [String])] = [
            ("it is set by [Guest]", ["-accel", "-enable-kvm", "-machine", "-M", "-name", "-uuid"]),
            ("it is set by [CPU]", ["-cpu", "-smp"]),
            ("it is set by [RAM ID]", ["-m", "-numa", "-mem-path", "-mem-prealloc"]),
            ("it is set by [Kernel]", ["-kernel", "-initrd", "-append"]),
            ("it is set by [Watchdog]", ["-watchdog-action"]),
            ("use [TPM]", ["-tpmdev"]),
            ("use [Display]", ["-display", "-vnc", "-spice", "-nographic", "-curses"]),
            (
                "handovers rest on what Perdure makes of it",
                [
                    "-S", "-action", "-no-shutdown", "-incoming", "-loadvm", "-snapshot", "-only-migratable",
                    "-nodefaults", "-no-user-config", "-readconfig", "-preconfig", "-daemonize", "-pidfile",
                ]
            ),
            ("Perdure has the only monitor", ["-qmp", "-qmp-pretty", "-mon", "-monitor"]),
            ("it would undo the confinement of VM processes", ["-sandbox", "-runas", "-run-with", "-chroot"]),
        ]
        return Dictionary(uniqueKeysWithValues: reasons.flatMap { reason, options in options.map { ($0, reason) } })
    }()
}
