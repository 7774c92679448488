import FoundationEssentials
import GuestDefinition

/// What a QEMU command line consists of, as far as another QEMU may not know it.
struct CommandLineParts {
    enum Kind: Sendable {
        case device, object, characterBackend, blockDriver

        var title: String {
            switch self {
            case .device: "device"
            case .object: "backend object"
            case .characterBackend: "character device backend"
            case .blockDriver: "block driver"
            }
        }
    }

    struct Part: Sendable {
        var kind: Kind
        var type: String
        var properties: [String]

        /// What came by ExtraArguments= is none of those that a QEMU is asked about.
        var isOurs: Bool {
            switch kind {
            case .device: QEMUCommandLine.deviceTypes.contains(type)
            case .object: QEMUCommandLine.objectTypes.contains(type)
            case .characterBackend, .blockDriver: true
            }
        }

        func isKnown(to facts: QEMUFacts) -> Bool {
            switch kind {
            case .device, .object: facts.properties[type] != nil
            case .characterBackend: facts.characterBackends.contains(type)
            case .blockDriver: facts.blockDrivers.contains(type)
            }
        }
    }

    /// In their order, each kind and type once.
    private(set) var all: [Part] = []
    /// What is behind each `-device`, but for remedies and the numbers of descriptors: all that the guest sees of it.
    private(set) var devices: [String] = []

    /// - Parameter arguments: With or without `argv[0]`.
    init(_ arguments: [String]) {
        for (option, value) in zip(arguments, arguments.dropFirst()) {
            switch option {
            case "-device":
                // Not DIMMs: one that the guest has got while it runs is not on the command line.
                if !value.hasPrefix("pc-dimm,") { devices.append("'\(CommandLineParts.asSeen(value))'") }
                addOptions(.device, value)
            case "-object": addOptions(.object, value)
            case "-chardev": addOptions(.characterBackend, value)
            case "-blockdev":
                struct Node: Decodable { let driver: String }
                let node = try? JSONDecoder().decode(Node.self, from: Data(value.utf8))
                if let node { add(Part(kind: .blockDriver, type: node.driver, properties: [])) }
            default: break
            }
        }
    }

    /// `TYPE,KEY=VALUE,…`; no value of ours has a comma in it.
    private mutating func addOptions(_ kind: Kind, _ value: String) {
        let words = value.split(separator: ",")
        guard let type = words.first else { return }
        let keys = words.dropFirst().compactMap { $0.split(separator: "=").first.map(String.init) }
        // These are the command line's own, not a property of any type.
        add(Part(kind: kind, type: String(type), properties: keys.filter { $0 != "id" && $0 != "bus" }))
    }

    /// Which descriptor a pinned ROM comes by says nothing of it.
    private static func asSeen(_ value: String) -> String {
        value.split(separator: ",").filter { word in
            !word.hasPrefix("romfile=/proc/self/fd/")
                && !KnownIncompatibility.Remedy.properties.contains { word.hasPrefix("\($0)=") }
        }.joined(separator: ",")
    }

    private mutating func add(_ part: Part) {
        guard let index = all.firstIndex(where: { $0.kind == part.kind && $0.type == part.type }) else {
            all.append(part)
            return
        }
        all[index].properties += part.properties.filter { !all[index].properties.contains($0) }
    }
}
