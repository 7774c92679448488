import Lifecycle
import Linux
import Supervisor
import Systemd

/// A state change of a guest, as the journal has it.
public struct GuestRecord: Sendable, Equatable {
    public struct Phase: Sendable, Equatable {
        public let step: Step
        /// Microseconds.
        public let duration: Int
    }

    /// Microseconds since the epoch.
    public let time: UInt64
    package let kind: MessageID
    public let guest: String
    public let generation: Int?
    /// A sentence on one line.
    public let message: String
    /// Microseconds that the guest was paused.
    public let pause: Int?
    /// In the order in which they are carried out.
    public let phases: [Phase]
    public let operation: String?
    public let step: String?
    public let reason: String?
    public let findings: [String]
    public let oldVersion: String?
    public let newVersion: String?

    /// Nil for an entry that is no state change.
    public init?(time: UInt64, fields: [String: String]) {
        func text(_ name: String) -> String? { fields["PERDURE_\(name)"].map { ForeignText.printable($0) } }
        func number(_ name: String) -> Int? {
            fields["PERDURE_\(name)"].flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 }
        }
        guard let kind = fields["MESSAGE_ID"].flatMap({ MessageID(rawValue: $0) }), let guest = text("GUEST") else {
            return nil
        }
        self.time = time
        self.kind = kind
        self.guest = guest
        message = ForeignText.printable(fields["MESSAGE"] ?? "")
        generation = number("GENERATION")
        pause = number("PAUSE_USEC")
        phases = Step.allCases.compactMap { step in
            number(step.journalField).map { Phase(step: step, duration: $0) }
        }
        operation = text("OPERATION")
        step = text("STEP")
        reason = text("REASON")
        findings = text("FINDINGS")?.split(separator: " ").map(String.init) ?? []
        oldVersion = text("QEMU_VERSION_OLD")
        newVersion = text("QEMU_VERSION_NEW")
    }

    public init?(_ entry: JournalReader.Entry) { self.init(time: entry.time, fields: entry.fields) }

    /// What happened, in a word that programs can go by: `handover-done`.
    public var event: String { kind.event }
}

extension Step {
    /// What the journal calls the time that the step took, without the prefix of all fields.
    fileprivate var journalField: String { "\(rawValue.uppercased().replacing("-", with: "_"))_USEC" }
}

extension GuestRecord: Encodable {
    private enum Key: String, CodingKey {
        case timeUsec, event, messageID, guest, generation, message, pauseUsec, phasesUsec, operation, step, reason
        case findings, qemuVersionOld, qemuVersionNew
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(time, forKey: .timeUsec)
        try container.encode(event, forKey: .event)
        try container.encode(kind.rawValue, forKey: .messageID)
        try container.encode(guest, forKey: .guest)
        try container.encode(message, forKey: .message)
        try container.encodeIfPresent(generation, forKey: .generation)
        try container.encodeIfPresent(pause, forKey: .pauseUsec)
        let steps = Dictionary(phases.map { ($0.step.rawValue, $0.duration) }) { first, _ in first }
        if !steps.isEmpty { try container.encode(steps, forKey: .phasesUsec) }
        try container.encodeIfPresent(operation, forKey: .operation)
        try container.encodeIfPresent(step, forKey: .step)
        try container.encodeIfPresent(reason, forKey: .reason)
        if !findings.isEmpty { try container.encode(findings, forKey: .findings) }
        try container.encodeIfPresent(oldVersion, forKey: .qemuVersionOld)
        try container.encodeIfPresent(newVersion, forKey: .qemuVersionNew)
    }
}
