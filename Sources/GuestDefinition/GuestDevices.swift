/// What happens when the guest no longer feeds its watchdog, by QEMU's names.
///
/// Not `poweroff`, which ends QEMU as a crash would, and not `pause` or `debug`, which stop the guest for nobody to see.
public enum WatchdogAction: String, Sendable, Codable, CaseIterable {
    case reset
    /// Presses the guest's power button.
    case shutdown
    case injectNMI = "inject-nmi"
    /// It is reported only.
    case none
}

/// How a guest talks to its TPM 2.0.
public enum TPMModel: String, Sendable, Codable, CaseIterable {
    case tis
}

/// A device by which the guest gives memory back to the host when it is asked to.
public struct Balloon: Sendable, Equatable, Codable {
    /// Whether the guest also tells which of its memory is free, which is then given back to the host.
    public var freePageReporting: Bool
    /// Whether the guest may take memory back where it would have to kill a process otherwise.
    public var deflateOnOOM: Bool

    public init(freePageReporting: Bool = false, deflateOnOOM: Bool = true) {
        self.freePageReporting = freePageReporting
        self.deflateOnOOM = deflateOnOOM
    }
}

/// What a guest has once or not at all.
///
/// Kept in ledgers like all of `GuestHardware`: what is added later must decode from what was written before.
public struct GuestDevices: Sendable, Equatable, Codable {
    /// virtio-rng: random numbers of the host's kernel.
    public var rng: Bool
    public var balloon: Balloon?
    /// An i6300esb.
    public var watchdog: WatchdogAction?
    /// By which the guest's kernel tells that it has panicked.
    public var pvpanic: Bool
    /// The channel of the QEMU guest agent.
    public var agent: Bool
    /// What there is of a TPM 2.0, which is a program of its own beside each VM process (swtpm).
    public var tpm: TPMModel?
    /// A VGA, to be seen by VNC.
    public var display: Bool
    /// Arguments of QEMU's that Perdure knows nothing of, each one a word.
    public var extraArguments: [String]

    public init(
        rng: Bool = false,
        balloon: Balloon? = nil,
        watchdog: WatchdogAction? = nil,
        pvpanic: Bool = false,
        agent: Bool = false,
        tpm: TPMModel? = nil,
        display: Bool = false,
        extraArguments: [String] = []
    ) {
        self.rng = rng
        self.balloon = balloon
        self.watchdog = watchdog
        self.pvpanic = pvpanic
        self.agent = agent
        self.tpm = tpm
        self.display = display
        self.extraArguments = extraArguments
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            rng: try values.decodeIfPresent(Bool.self, forKey: .rng) ?? false,
            balloon: try values.decodeIfPresent(Balloon.self, forKey: .balloon),
            watchdog: try values.decodeIfPresent(WatchdogAction.self, forKey: .watchdog),
            pvpanic: try values.decodeIfPresent(Bool.self, forKey: .pvpanic) ?? false,
            agent: try values.decodeIfPresent(Bool.self, forKey: .agent) ?? false,
            tpm: try values.decodeIfPresent(TPMModel.self, forKey: .tpm),
            display: try values.decodeIfPresent(Bool.self, forKey: .display) ?? false,
            extraArguments: try values.decodeIfPresent([String].self, forKey: .extraArguments) ?? []
        )
    }
}

extension GuestHardware {
    /// What there is once or not at all.
    public var single: GuestDevices {
        get { devices ?? GuestDevices() }
        // A guest without any keeps a ledger that older supervisors understand.
        set { devices = newValue == GuestDevices() ? nil : newValue }
    }
}
