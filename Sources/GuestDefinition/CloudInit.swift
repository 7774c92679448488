/// What cloud-init finds on a CD-ROM labelled `cidata` that is made for it.
public struct CloudInit: Sendable, Equatable, Codable {
    /// cloud-init does its work once for each.
    public var instanceID: String
    public var hostname: String
    /// Absolute path; nil for none.
    public var userData: String?
    /// Absolute path; nil to leave the network to the image's defaults.
    public var networkConfig: String?
    /// Absolute path of a file with a public key a line, for the image's user.
    public var sshKeys: String?

    /// Paths of all that is read for it.
    public var files: [String] { [userData, networkConfig, sshKeys].compactMap { $0 } }

    public init(
        instanceID: String,
        hostname: String,
        userData: String? = nil,
        networkConfig: String? = nil,
        sshKeys: String? = nil
    ) {
        self.instanceID = instanceID
        self.hostname = hostname
        self.userData = userData
        self.networkConfig = networkConfig
        self.sshKeys = sshKeys
    }

    /// A guest's name as a host name: with neither dots nor underscores, and no `-` at its ends.
    public static func hostname(of guest: String) -> String {
        let letters = guest.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "-" }
        let trimmed = letters.drop { $0 == "-" }.reversed().drop { $0 == "-" }.reversed()
        return trimmed.isEmpty ? "guest" : String(trimmed)
    }
}

/// Something secret for systemd in the guest, see systemd.exec(5).
public struct Credential: Sendable, Equatable, Codable {
    public var id: String
    /// What systemd calls it, such as `passwd.hashed-password.root`.
    public var name: String
    /// Absolute path of the file that is read when the guest is started.
    public var file: String

    public init(id: String, name: String, file: String) {
        self.id = id
        self.name = name
        self.file = file
    }
}

extension DefinitionBuilder {
    mutating func cloudInit() -> CloudInit? {
        guard let section = section(.cloudInit) else { return nil }
        return CloudInit(
            instanceID: value("InstanceID", section, Values.instanceID) ?? name,
            hostname: value("Hostname", section, Values.hostname) ?? CloudInit.hostname(of: name),
            userData: existingFile("UserData", section, [.regular]),
            networkConfig: existingFile("NetworkConfig", section, [.regular]),
            sshKeys: existingFile("SSHKeys", section, [.regular])
        )
    }

    /// Nil for none, as in the ledgers of older versions.
    mutating func credentials() -> [Credential]? {
        let found = sections.filter { $0.name.kind == .credential }
        let limit = GuestHardware.mostCredentials
        if found.count > limit {
            let message = "this is credential \(limit + 1), but a guest can have at most \(limit)"
            problems.add(message, at: found[limit].place)
        }
        var names: [String: String] = [:]
        let credentials = found.map { section in
            let name = value("Name", section, Values.credentialName) ?? section.name.id
            if let other = names[name] {
                let place = section.assignments["Name"]?.place ?? section.place
                problems.add("the credential \(quoted(name)) is also that of [Credential \(other)]", at: place)
            }
            names[name] = section.name.id
            return Credential(id: section.name.id, name: name, file: requiredFile("File", section, [.regular]) ?? "")
        }
        return credentials.isEmpty ? nil : credentials
    }
}
