import GuestDefinition
import Linux
import QMP

/// What a QEMU program says of itself.
public struct QEMUFacts: Sendable {
    public var path: String
    public var version: QEMUVersion
    /// The distribution's name for the build.
    public var package: String
    /// Versioned names and aliases of machine types, each with its versioned name.
    var machines: [String: String]
    /// Machine types that a later QEMU will not have.
    var deprecatedMachines: Set<String>
    /// CPU models that have a versioned name of their own, with it.
    var cpuModels: [String: String]
    /// `migrate` and `migrate-incoming` take files, and then no other descriptor of a file.
    var hasFileMigration: Bool
    /// `migrate-incoming` can be told to stay alive when it fails.
    var hasExitOnError: Bool
    /// What migration can be told to do.
    var capabilities: Set<String>
    /// Types of devices and of backend objects that VM processes are made of, where it has them, with their properties.
    var properties: [String: Set<String>]
    var characterBackends: Set<String>
    var blockDrivers: Set<String>

    /// The versioned name of a machine type.
    public func pinnedMachine(_ name: String) throws(UnknownName) -> String {
        if let versioned = machines[name] { return versioned }
        throw UnknownName(
            "QEMU '\(path)' (\(version)) has no machine type '\(name)'; it has "
                + machines.keys.filter { $0.hasPrefix("pc") || $0.hasPrefix("q35") }.sorted().suffix(6)
                .joined(separator: ", ")
        )
    }

    /// The versioned name of a CPU model; the name itself where models have no versions.
    public func pinnedCPUModel(_ name: String) throws(UnknownName) -> String {
        if let versioned = cpuModels[name] { return versioned }
        throw UnknownName("QEMU '\(path)' (\(version)) has no CPU model '\(name)'; '\(path) -cpu help' lists them")
    }

    public struct UnknownName: Error, CustomStringConvertible {
        public let description: String

        init(_ description: String) { self.description = description }
    }

    /// Ten times what a QEMU has of machine types or CPU models.
    private static let mostNames = 4096

    /// Whether it can be the name of a machine type or CPU model: it becomes part of QEMU's command line.
    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ",") }
    }

    /// Asks a QEMU that runs.
    static func ask(_ qmp: QMPClient, path: String, deadline: Duration) async throws -> QEMUFacts {
        let version = try await qmp.execute(QueryVersion(), deadline: deadline)
        let machines = try await qmp.execute(QueryMachines(), deadline: deadline)
        let models = try await qmp.execute(QueryCPUDefinitions(), deadline: deadline)
        let schema = try await qmp.execute(QuerySchema(), deadline: deadline)
        let capabilities = try await qmp.execute(QueryMigrationCapabilities(), deadline: deadline)
        // Not qom-list-types: it loads every module that is installed, and aborts QEMU where one is of another build.
        var properties: [String: Set<String>] = [:]
        for type in QEMUCommandLine.deviceTypes {
            properties[type] = try await names(qmp, ListDeviceProperties(of: type), deadline)
        }
        for type in QEMUCommandLine.objectTypes {
            properties[type] = try await names(qmp, ListObjectProperties(of: type), deadline)
        }
        let enumerations = schema.lazy.filter { $0.metaType == "enum" }.map {
            Set(($0.members ?? []).compactMap(\.name))
        }
        /// The schema's type names are numbers: an enumeration is found by some of its members.
        func enumeration(with members: Set<String>) -> Set<String>? {
            enumerations.first { $0.isSuperset(of: members) }
        }
        var machineNames: [String: String] = [:]
        for machine in machines.prefix(QEMUFacts.mostNames) where isName(machine.name) {
            machineNames[machine.name] = machine.name
            if let alias = machine.alias, isName(alias) { machineNames[alias] = machine.name }
        }
        return QEMUFacts(
            path: path,
            version: QEMUVersion(major: version.qemu.major, minor: version.qemu.minor, micro: version.qemu.micro),
            package: version.package.description,
            machines: machineNames,
            deprecatedMachines: Set(machines.filter { $0.deprecated == true }.map(\.name)),
            cpuModels: Dictionary(
                models.prefix(QEMUFacts.mostNames).filter { isName($0.name) && $0.aliasOf.map(isName) != false }
                    .map { ($0.name, $0.aliasOf ?? $0.name) }
            ) { first, _ in first },
            hasFileMigration: schema.hasFileMigration,
            hasExitOnError: schema.contains { entity in
                let names = Set((entity.members ?? []).compactMap(\.name))
                return entity.metaType == "object" && names.isSuperset(of: ["uri", "exit-on-error"])
            },
            capabilities: Set(capabilities.map(\.capability)),
            properties: properties,
            characterBackends: enumeration(with: ["null", "socket", "ringbuf"]) ?? [],
            blockDrivers: enumeration(with: ["file", "raw", "blkdebug"]) ?? []
        )
    }

    /// Nil for a type that QEMU does not have.
    private static func names<Command: QMPCommand>(
        _ qmp: QMPClient,
        _ command: Command,
        _ deadline: Duration
    ) async throws -> Set<String>? where Command.Reply == [ObjectProperty] {
        do {
            return Set(try await qmp.execute(command, deadline: deadline).map(\.name))
        } catch QMPError.refused {
            return nil
        }
    }
}
