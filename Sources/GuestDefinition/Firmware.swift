import Linux

/// What a guest's machine starts with.
public enum FirmwareKind: String, Sendable, Codable, CaseIterable {
    /// SeaBIOS.
    case bios
    /// OVMF, in flash memory.
    case uefi
}

/// Firmware that a definition asks for; a guest without any has the BIOS that comes with QEMU.
public struct Firmware: Sendable, Equatable, Codable {
    public var kind: FirmwareKind
    /// Whether the guest may boot only what is signed. Needs an image that is built for it.
    public var secureBoot: Bool
    /// Absolute path; nil for the one that QEMU takes by itself.
    public var image: String?
    /// What UEFI and the guest keep from one boot to the next.
    public var variables: VariableStore?

    public init(kind: FirmwareKind, secureBoot: Bool = false, image: String? = nil, variables: VariableStore? = nil) {
        self.kind = kind
        self.secureBoot = secureBoot
        self.image = image
        self.variables = variables
    }

    /// Debian's names, of the package ovmf.
    static func defaultImage(secureBoot: Bool) -> String {
        secureBoot ? "/usr/share/OVMF/OVMF_CODE_4M.ms.fd" : "/usr/share/OVMF/OVMF_CODE_4M.fd"
    }
}

/// A file of one guest that its firmware writes to.
public struct VariableStore: Sendable, Equatable, Codable {
    /// Absolute path.
    public var path: String
    /// Absolute path of what the file is made from where it is missing.
    public var template: String

    public init(path: String, template: String) {
        self.path = path
        self.template = template
    }

    static func defaultPath(of guest: String) -> String { "\(Locations.current.state)/\(guest)/uefi-variables.fd" }

    /// With the keys of those who sign boot loaders where `secureBoot`.
    static func defaultTemplate(secureBoot: Bool) -> String {
        secureBoot ? "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" : "/usr/share/OVMF/OVMF_VARS_4M.fd"
    }
}

/// Files that are read once, when the guest is started, so that it has the same for as long as it runs.
public enum PinnedFile: String, Sendable, Codable, CaseIterable {
    case firmware
    /// Of the graphics card.
    case videoBIOS = "vgabios"
    case kernel
    case initrd
    /// The CD-ROM for cloud-init.
    case seed
}

extension GuestHardware {
    /// Paths of what is pinned, as far as the definition names it.
    public var pinnedPaths: [PinnedFile: String] {
        var paths: [PinnedFile: String] = [:]
        paths[.firmware] = firmware?.image
        paths[.kernel] = kernel?.image
        paths[.initrd] = kernel?.initrd
        return paths
    }

    /// Paths of the files that are read when the guest is started, and not again while it runs; those of the seed and
    /// of credentials are not among `pinnedPaths`.
    public var startPaths: [String] {
        [kernel?.image, kernel?.initrd, firmware?.image].compactMap { $0 } + (cloudInit?.files ?? [])
            + (credentials ?? []).map(\.file)
    }

    /// Paths of the files and devices that the guest writes to.
    public var writtenImages: [String] {
        disks.filter { !$0.readOnly }.map(\.image) + [firmware?.variables?.path].compactMap { $0 }
    }
}
