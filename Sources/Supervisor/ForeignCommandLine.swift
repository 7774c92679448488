import FoundationEssentials
import GuestDefinition

/// The command line of a QEMU that Perdure did not start, as far as a definition can say the same. What it can't say is
/// an obstacle: nothing is left out in silence.
struct ForeignCommandLine: Sendable {
    struct UserNetwork: Equatable, Sendable {
        var forwards: [PortForward] = []
    }

    /// Sentences.
    private(set) var obstacles: [String] = []
    /// The object that is the guest's RAM.
    private(set) var memoryBackend: String?
    /// By the IDs of the objects.
    private(set) var backendTypes: [String: String] = [:]
    /// As `-cpu` has it: the model, and then features.
    private(set) var cpu = "qemu64"
    private(set) var cpuFeatures: [String] = []
    /// Whether sockets, cores or threads are given.
    private(set) var hasTopology = false
    private(set) var kernel: DirectKernel?
    private(set) var uuid: String?
    private(set) var networks: [String: UserNetwork] = [:]
    /// Types of all devices that it names, in their order.
    private(set) var devices: [String] = []
    private(set) var serialPorts = 0
    private var hasNoDefaults = false
    /// How many CPUs there are, and may be.
    private var cpuCounts: Set<String> = []

    /// What concerns the host only, and ends with the process. The first take no value.
    private static let withoutMeaning: Set = [
        "nodefaults", "no-user-config", "nographic", "daemonize", "S", "no-shutdown",
    ]
    private static let withoutMeaningAndWithValue: Set = [
        "name", "qmp", "qmp-pretty", "monitor", "mon", "chardev", "pidfile", "D", "d", "sandbox", "msg", "runas",
        "trace",
        // Disks are seen by what QEMU says of them.
        "blockdev",
    ]
    private static let withValue = withoutMeaningAndWithValue.union([
        "display", "vga", "parallel", "net", "machine", "M", "accel", "cpu", "smp", "m", "object", "drive", "device",
        "netdev", "serial", "uuid", "kernel", "initrd", "append", "rtc",
    ])
    /// What a definition can say of each device, or what follows from it.
    private static let deviceKeys: [String: Set<String>] = [
        "virtio-blk-pci": ["drive", "id", "addr", "bootindex", "serial", "bus", "write-cache"],
        "virtio-net-pci": ["netdev", "id", "mac", "addr", "bus", "romfile"],
        "isa-serial": ["chardev", "id", "index"],
    ]
    private static let driveKeys: Set = [
        "if", "file", "format", "id", "cache", "aio", "discard", "readonly", "read-only", "media", "node-name",
    ]
    /// What is seen of the memory itself, or of no consequence once it is there.
    private static let memoryKeys: Set = [
        "qom-type", "id", "size", "share", "mem-path", "align", "seal", "hugetlb", "hugetlbsize", "prealloc",
        "prealloc-threads", "prealloc-context", "merge", "dump", "reserve",
    ]
    private static let rootBuses: Set = ["pcie.0", "pci.0"]

    /// - Parameter arguments: without `argv[0]`.
    init(_ arguments: [String]) {
        var rest = arguments[...]
        var (image, initrd, append): (String?, String?, String?) = (nil, nil, nil)
        while let word = rest.popFirst() {
            guard word.hasPrefix("-") else {
                obstacles.append(
                    "'\(word)' on its command line is a disk image without a word about how it is attached"
                )
                continue
            }
            let option = String(word.drop { $0 == "-" })
            if ForeignCommandLine.withoutMeaning.contains(option) {
                if option == "nodefaults" { hasNoDefaults = true }
                continue
            }
            if option == "enable-kvm" { continue }
            // Of an option that is not known here it is not known either whether it takes a value.
            let isKnown = ForeignCommandLine.withValue.contains(option)
            let value = isKnown || rest.first?.hasPrefix("-") == false ? rest.popFirst() ?? "" : ""
            switch option {
            case _ where ForeignCommandLine.withoutMeaningAndWithValue.contains(option): break
            case "display", "vga", "parallel", "net":
                if value != "none" { refuse(option, value) }
            case "machine", "M": readMachine(value)
            case "accel": readAccelerator(value)
            case "cpu": readCPU(value)
            case "smp": readTopology(value)
            case "m": readMemory(value)
            case "object": readObject(value)
            case "drive": readDrive(value)
            case "device": readDevice(value)
            case "netdev": readNetwork(value)
            case "serial": serialPorts += value == "none" ? 0 : 1
            case "uuid": uuid = value.lowercased()
            case "kernel": image = value
            case "initrd": initrd = value
            case "append": append = value
            case "rtc":
                let isDefault = Options(value).all.allSatisfy {
                    ["base=utc", "clock=host"].contains("\($0.key)=\($0.value)")
                }
                if !isDefault { refuse(option, value) }
            default: refuse(option, value)
            }
        }
        if let image { kernel = DirectKernel(image: image, initrd: initrd, commandLine: append ?? "") }
        serialPorts += devices.filter { $0 == "isa-serial" }.count
        finish()
    }

    private mutating func finish() {
        if !hasNoDefaults {
            obstacles.append(
                "it was started without '-nodefaults', and so has devices that its command line does not name"
            )
        }
        if cpuCounts.count > 1 { obstacles.append("it has room for more CPUs than it has ('maxcpus=')") }
        if serialPorts > 1 { obstacles.append("it has \(serialPorts) serial ports, and a guest has one at most") }
        if memoryBackend == nil {
            obstacles.append(
                "its RAM is private to it; only RAM of '-object memory-backend-file,id=ID,share=on,…' with "
                    + "'-machine memory-backend=ID' can be taken over"
            )
        }
    }

    private mutating func refuse(_ option: String, _ value: String) {
        let isOption = value.hasPrefix("-") || value.isEmpty
        obstacles.append(
            "a definition can't say '-\(option)\(isOption ? "" : " \(value)")', which is on its command line"
        )
    }

    private mutating func refuse(_ part: Options.Part, of option: String) {
        obstacles.append(
            "a definition can't say '\(part.key)=\(part.value)' of '-\(option)', which is on its command line"
        )
    }

    // MARK: Options

    private mutating func readMachine(_ value: String) {
        for part in Options(value, first: "type").all {
            switch part.key {
            case "type": break
            case "accel": readAccelerator(part.value)
            case "memory-backend": memoryBackend = part.value
            default: refuse(part, of: "machine")
            }
        }
    }

    /// Which one it is, QEMU says.
    private mutating func readAccelerator(_ value: String) {
        for part in Options(value, first: "accel").all {
            let isKnown =
                part.key == "accel" && part.value.split(separator: ":").allSatisfy { ["tcg", "kvm"].contains($0) }
            if !isKnown && part.key != "thread" { refuse(part, of: "accel") }
        }
    }

    private mutating func readCPU(_ value: String) {
        var features: [String] = []
        for part in Options(value, first: "model").all {
            switch (part.key, part.value) {
            case ("model", _): cpu = part.value
            // They say what happens where a feature can't be had.
            case ("enforce", _), ("check", _): break
            case (let key, "on") where key.hasPrefix("+"): features.append("\(key.dropFirst())=on")
            case (let key, "on") where key.hasPrefix("-"): features.append("\(key.dropFirst())=off")
            case (_, "on"), (_, "off"): features.append("\(part.key)=\(part.value)")
            default: refuse(part, of: "cpu")
            }
        }
        cpuFeatures = features
    }

    private mutating func readTopology(_ value: String) {
        for part in Options(value, first: "cpus").all {
            switch part.key {
            case "cpus": cpuCounts.insert(part.value)
            case "maxcpus": cpuCounts.insert(part.value)
            case "sockets", "cores", "threads": hasTopology = true
            default: refuse(part, of: "smp")
            }
        }
    }

    private mutating func readMemory(_ value: String) {
        for part in Options(value, first: "size").all where part.key != "size" { refuse(part, of: "m") }
    }

    private mutating func readObject(_ value: String) {
        let options = Options(value, first: "qom-type")
        guard let type = options["qom-type"], let id = options["id"], type.hasPrefix("memory-backend-") else {
            return refuse("object", value)
        }
        backendTypes[id] = type
        for part in options.all {
            let isKnown =
                switch part.key {
                // They would throw the memory away, or keep others from writing there.
                case "discard-data", "pmem", "readonly", "rom": part.value == "off"
                case "offset": part.value == "0"
                default: ForeignCommandLine.memoryKeys.contains(part.key)
                }
            if !isKnown { refuse(part, of: "object \(type)") }
        }
    }

    private mutating func readDrive(_ value: String) {
        let options = Options(value)
        for part in options.all where !ForeignCommandLine.driveKeys.contains(part.key) { refuse(part, of: "drive") }
        switch options["if"] {
        case "none": break
        case "virtio": devices.append("virtio-blk-pci")
        default: refuse("drive", value)
        }
    }

    private mutating func readDevice(_ value: String) {
        let options = Options(value, first: "driver")
        let type = options["driver"] ?? ""
        guard let keys = ForeignCommandLine.deviceKeys[type] else { return refuse("device", value) }
        devices.append(type)
        for part in options.all where part.key != "driver" {
            let isDefault =
                switch part.key {
                case "bus": ForeignCommandLine.rootBuses.contains(part.value)
                case "index": part.value == "0"
                default: keys.contains(part.key)
                }
            if !isDefault { refuse(part, of: "device \(type)") }
        }
    }

    private mutating func readNetwork(_ value: String) {
        let options = Options(value, first: "type")
        guard let type = options["type"], let id = options["id"] else { return refuse("netdev", value) }
        guard type == "user" else {
            obstacles.append(
                "its network '\(id)' is of type '\(type)', whose queue two QEMUs can't share; only 'user' can be taken over"
            )
            return
        }
        var network = UserNetwork()
        for part in options.all where part.key != "type" && part.key != "id" {
            if part.key == "hostfwd", let forward = ForeignCommandLine.forward(part.value) {
                network.forwards.append(forward)
            } else {
                refuse(part, of: "netdev user")
            }
        }
        networks[id] = network
    }

    /// `tcp:ADDRESS:PORT-:PORT`, all addresses of the host where there is none.
    private static func forward(_ text: String) -> PortForward? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, ends[1].first == ":", let guestPort = Int(ends[1].dropFirst()) else { return nil }
        let host = ends[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard host.count == 3, let port = Int(host[2]),
            let transport = PortForward.Transport(rawValue: host[0].isEmpty ? "tcp" : host[0])
        else { return nil }
        return PortForward(
            transport: transport,
            address: host[1].isEmpty ? "0.0.0.0" : host[1],
            port: port,
            guestPort: guestPort
        )
    }
}

/// QEMU's `KEY=VALUE,…`, in which a comma of a value is doubled, and a key without value is switched on.
private struct Options {
    struct Part {
        var key: String
        var value: String
    }

    private(set) var all: [Part] = []

    /// - Parameter first: the key of a first value that stands alone.
    init(_ text: String, first: String? = nil) {
        var words: [String] = [""]
        var rest = text[...]
        while let character = rest.popFirst() {
            if character == "," {
                if rest.first == "," {
                    rest = rest.dropFirst()
                    words[words.count - 1].append(",")
                } else {
                    words.append("")
                }
            } else {
                words[words.count - 1].append(character)
            }
        }
        for (position, word) in words.enumerated() where !word.isEmpty {
            if let equals = word.firstIndex(of: "=") {
                all.append(Part(key: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
            } else if position == 0, let first {
                all.append(Part(key: first, value: word))
            } else {
                all.append(Part(key: word, value: "on"))
            }
        }
    }

    subscript(_ key: String) -> String? { all.last { $0.key == key }?.value }
}
