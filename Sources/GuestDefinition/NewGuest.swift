/// The definition of a guest that is made from a cloud image.
public struct NewGuest: Sendable {
    public var name: String
    public var accelerator: Accelerator
    public var cpuCount: Int
    /// As in a definition: `2G`.
    public var memory: String
    public var isUEFI: Bool
    /// Absolute path of the qcow2 overlay.
    public var disk: String
    /// Absolute paths.
    public var sshKeys: String?
    public var userData: String?
    public var networkConfig: String?
    public var network: Attachment

    /// What its one network card is attached to. Words are as in a definition.
    public enum Attachment: Sendable {
        case bridge(String)
        case user(forwards: [String])
    }

    public init(
        name: String,
        accelerator: Accelerator,
        cpuCount: Int,
        memory: String,
        isUEFI: Bool,
        disk: String,
        sshKeys: String? = nil,
        userData: String? = nil,
        networkConfig: String? = nil,
        network: Attachment = .user(forwards: [])
    ) {
        self.name = name
        self.accelerator = accelerator
        self.cpuCount = cpuCount
        self.memory = memory
        self.isUEFI = isUEFI
        self.disk = disk
        self.sshKeys = sshKeys
        self.userData = userData
        self.networkConfig = networkConfig
        self.network = network
    }

    public struct WrongSize: Error, CustomStringConvertible { public let description: String }

    /// Bytes.
    public static func diskSize(_ text: String) throws(WrongSize) -> UInt64 {
        do {
            return try Values.size(text, in: (1 << 20)...(64 << 40))
        } catch {
            throw WrongSize(description: error.message)
        }
    }

    /// What goes into `NAME.guest`. A path that no definition can hold makes one that does not load.
    public var text: String {
        var sections = [
            ["[Guest]", "Accelerator=\(accelerator.rawValue)"], ["[CPU]", "Count=\(cpuCount)"],
            ["[RAM main]", "Size=\(memory)"],
        ]
        if isUEFI { sections.append(["[Firmware]", "Type=uefi"]) }
        sections.append(["[Disk root]", "Image=\(disk)", "Format=qcow2"])
        switch network {
        case .bridge(let bridge): sections.append(["[Network lan]", "Bridge=\(bridge)"])
        case .user(let forwards):
            let forward = forwards.isEmpty ? [] : ["Forward=\(forwards.joined(separator: " "))"]
            sections.append(["[Network nat]", "Type=user"] + forward)
        }
        var seed = ["[CloudInit]"]
        if let sshKeys { seed.append("SSHKeys=\(sshKeys)") }
        if let userData { seed.append("UserData=\(userData)") }
        if let networkConfig { seed.append("NetworkConfig=\(networkConfig)") }
        sections.append(seed)
        return sections.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }
}
