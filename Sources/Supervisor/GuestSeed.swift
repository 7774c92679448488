import FoundationEssentials
import Glibc
import GuestDefinition
import Lifecycle
import Linux

/// What is made for a guest's first boot from files of the host: the CD-ROM for cloud-init, and systemd's credentials.
public enum GuestSeed {
    /// Bytes.
    private static let largestUserData: UInt64 = 1 << 20
    private static let largestPart: UInt64 = 256 << 10
    /// All credentials together have to fit into the tables of SMBIOS, which hold 64 KiB.
    private static let largestCredential: UInt64 = 4 << 10

    /// By the names in the descriptor store.
    /// - Parameter calls: what opens files of the host.
    static func files(
        for hardware: GuestHardware,
        _ calls: any ProcessCalls = OwnCalls()
    ) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        if let cloudInit = hardware.cloudInit { files[Inventory.file(.seed)] = try image(cloudInit, calls) }
        for credential in hardware.credentials ?? [] {
            let contents = try read(credential.file, calls, limit: largestCredential)
            files[Inventory.credential(credential.id)] = smbiosString(credential.name, contents)
        }
        return files
    }

    /// systemd(1) finds it among the strings of SMBIOS type 11.
    static func smbiosString(_ name: String, _ contents: [UInt8]) -> [UInt8] {
        Array("io.systemd.credential.binary:\(name)=\(Data(contents).base64EncodedString())".utf8)
    }

    /// As cloud-init's NoCloud wants it.
    private static func image(_ cloudInit: CloudInit, _ calls: any ProcessCalls) throws -> [UInt8] {
        let keys = try cloudInit.sshKeys.map { try publicKeys(at: $0, calls) }
        let userData = try cloudInit.userData.map { try read($0, calls, limit: largestUserData) }
        var files: [(String, [UInt8])] = [
            ("meta-data", try metaData(cloudInit, keys: keys ?? [])),
            // It is looked for, even where there is nothing to say; a configuration with nothing in it would be warned of.
            ("user-data", userData ?? []),
        ]
        if let path = cloudInit.networkConfig {
            files.append(("network-config", try read(path, calls, limit: largestPart)))
        }
        return SeedImage(label: "cidata", files: files).bytes
    }

    /// JSON is YAML, and needs no quoting of ours.
    static func metaData(_ cloudInit: CloudInit, keys: [String]) throws -> [UInt8] {
        struct MetaData: Encodable {
            var instanceID: String
            var hostname: String
            var keys: [String]

            enum CodingKeys: String, CodingKey {
                case instanceID = "instance-id"
                case hostname = "local-hostname"
                case keys = "public-keys"
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data = MetaData(instanceID: cloudInit.instanceID, hostname: cloudInit.hostname, keys: keys)
        return try [UInt8](encoder.encode(data)) + [UInt8(ascii: "\n")]
    }

    /// Checks a file of public keys, and returns what is in it.
    public static func publicKeys(at path: String, _ calls: any ProcessCalls = OwnCalls()) throws -> [String] {
        try publicKeys(read(path, calls, limit: largestPart), path: path)
    }

    /// One a line, as in `id_ed25519.pub` and `authorized_keys`.
    static func publicKeys(_ bytes: [UInt8], path: String) throws -> [String] {
        let lines = bytes.split { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }
        let keys = try lines.compactMap { line -> String? in
            let text = String(decoding: line, as: UTF8.self)
            if text.hasPrefix("#") || text.allSatisfy(\.isWhitespace) { return nil }
            guard !text.contains("PRIVATE KEY") else {
                throw Lifecycle.Failure(
                    "'\(path)' has a private key; give the file of the public one, such as '\(path).pub'"
                )
            }
            guard text.split(separator: " ").count >= 2,
                text.unicodeScalars.allSatisfy({ $0.value >= 0x20 || $0 == "\t" })
            else { throw Lifecycle.Failure("'\(path)' has a line that is no SSH key in the form 'TYPE KEY COMMENT'") }
            return text
        }
        guard !keys.isEmpty else { throw Lifecycle.Failure("'\(path)' has no SSH key") }
        return keys
    }

    private static func read(_ path: String, _ calls: any ProcessCalls, limit: UInt64) throws -> [UInt8] {
        let file = try calls.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
        let bytes = try file.read(at: 0, count: Int(limit) + 1)
        guard bytes.count <= limit else {
            throw Lifecycle.Failure("'\(path)' has more than the \(limit >> 10) KiB that can be used")
        }
        return bytes
    }
}
