/// Questions about a machine that others have put together, as in QEMU's QAPI schema.

/// What the guest sees of the PCI bus.
public struct QueryPCI: QMPCommand {
    public struct Bus: Decodable, Sendable {
        public let bus: Int
        public let devices: [Device]
    }

    public struct Device: Decodable, Sendable {
        public struct Identity: Decodable, Sendable {
            public let device: Int
            public let vendor: Int
            public let subsystem: Int?
        }

        public let slot: Int
        public let function: Int
        public let id: Identity
    }

    public typealias Reply = [Bus]
    public static let name = "query-pci"
    public init() {}
}

/// A function of a PCI device on the root bus, as the guest finds it.
public struct PCIFunction: Hashable, Sendable, CustomStringConvertible {
    public let slot: Int
    public let function: Int
    public let vendor: Int
    public let device: Int
    public let subsystem: Int

    public init(slot: Int, function: Int, vendor: Int, device: Int, subsystem: Int = 0) {
        (self.slot, self.function, self.vendor, self.device) = (slot, function, vendor, device)
        self.subsystem = subsystem
    }

    public var description: String {
        func hexadecimal(_ number: Int) -> String { String(number, radix: 16) }
        return "\(hexadecimal(vendor)):\(hexadecimal(device)) at \(hexadecimal(slot)).\(function)"
    }
}

extension [QueryPCI.Bus] {
    public var functions: [PCIFunction] {
        flatMap { bus in
            bus.devices.map { device in
                PCIFunction(
                    slot: device.slot,
                    function: device.function,
                    vendor: device.id.vendor,
                    device: device.id.device,
                    subsystem: device.id.subsystem ?? 0
                )
            }
        }
    }
}

/// Disks, and what is in them.
public struct QueryBlock: QMPCommand {
    public struct Drive: Decodable, Sendable {
        public struct Medium: Decodable, Sendable {
            public struct Image: Decodable, Sendable {
                public let filename: String
            }

            public struct Cache: Decodable, Sendable {
                public let writeback: Bool
                public let direct: Bool
                public let noFlush: Bool

                enum CodingKeys: String, CodingKey {
                    case writeback, direct
                    case noFlush = "no-flush"
                }
            }

            public let driver: String
            public let isReadOnly: Bool
            public let cache: Cache
            public let image: Image

            enum CodingKeys: String, CodingKey {
                case cache, image
                case driver = "drv"
                case isReadOnly = "ro"
            }
        }

        /// Where the device is in QEMU's tree of objects; nil where none has it.
        public let device: String?
        public let medium: Medium?

        enum CodingKeys: String, CodingKey {
            case device = "qdev"
            case medium = "inserted"
        }
    }

    public typealias Reply = [Drive]
    public static let name = "query-block"
    public init() {}
}

public struct QueryKVM: QMPCommand {
    public struct Reply: Decodable, Sendable {
        public let enabled: Bool
    }

    public static let name = "query-kvm"
    public init() {}
}

/// Work on disks that goes on by itself.
public struct QueryJobs: QMPCommand {
    public struct Job: Decodable, Sendable {
        public let id: Words
    }

    public typealias Reply = [Job]
    public static let name = "query-jobs"
    public init() {}
}

public struct QueryDescriptorSets: QMPCommand {
    public struct Set: Decodable, Sendable {
        public let number: Int

        enum CodingKeys: String, CodingKey {
            case number = "fdset-id"
        }
    }

    public typealias Reply = [Set]
    public static let name = "query-fdsets"
    public init() {}
}

/// Takes back a descriptor that `GetDescriptor` has passed and no command has used.
public struct CloseDescriptor: QMPCommand {
    public typealias Reply = Empty
    public static let name = "closefd"
    public let arguments: GetDescriptor.Arguments

    public init(name: String) { arguments = GetDescriptor.Arguments(fdname: name) }
}
