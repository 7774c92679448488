import Foundation

/// The Debian package that `packaging/build-deb` has made, and others made from it.
package struct DebianPackage: Sendable {
    /// On this machine.
    package let path: String
    package let version: String

    package static var isBuilt: Bool { (try? built()) != nil }

    /// Beside the stage tree; nil where it was not built.
    package static func built() throws -> DebianPackage? {
        guard let stage = BootedSystem.stage else { return nil }
        let directory = URL(fileURLWithPath: stage).deletingLastPathComponent().appendingPathComponent("deb").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        guard let name = names.first(where: { $0.hasPrefix("perdure_") && $0.hasSuffix(".deb") }) else { return nil }
        return DebianPackage(
            path: "\(directory)/\(name)",
            version: String(name.dropFirst("perdure_".count).prefix { $0 != "_" })
        )
    }

    /// Of the repository's first version that had a package.
    package static func older() throws -> DebianPackage? {
        let path = "\(BootedSystem.cache)/older-version/perdure.deb"
        guard let control = FileManager.default.contents(atPath: "\(path).version") else { return nil }
        let version = String(decoding: control, as: UTF8.self).trimmingCharacters(in: .newlines)
        return DebianPackage(path: path, version: version)
    }

    /// The same package, unpacked and packed again with a higher version.
    /// - Parameter directory: where it is made; must exist.
    package func successor(in directory: String) async throws -> DebianPackage {
        let version = "\(version)+next"
        let (tree, target) = ("\(directory)/tree", "\(directory)/perdure_\(version)_amd64.deb")
        try await DebianPackage.run("dpkg-deb", "--raw-extract", path, tree)
        try await DebianPackage.run("sed", "-i", "s/^Version: .*/Version: \(version)/", "\(tree)/DEBIAN/control")
        try await DebianPackage.run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target)
        try FileManager.default.removeItem(atPath: tree)
        return DebianPackage(path: target, version: version)
    }

    /// The package's own tests, as autopkgtest runs them.
    package static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../packaging/debian/tests").standardizedFileURL.path

    /// What is installed of a package, packed again with a higher version.
    /// - Parameters:
    ///   - tree: where it is installed; on this machine where it is nil.
    ///   - directory: where it is made; must exist.
    ///   - text: what is put into the place of what, in a file of the package; of the same length.
    package static func rebuilt(
        _ name: String,
        from tree: DebianTree? = nil,
        in directory: String,
        replacing text: (old: String, new: String)? = nil,
        of file: String = ""
    ) async throws -> DebianPackage {
        let root = tree?.path ?? ""
        try await run("\(tests)/repack", name, "+next", directory, root)
        let path = "\(directory)/\(name).deb"
        if let text {
            let unpacked = "\(directory)/\(name)"
            try await run("dpkg-deb", "--raw-extract", path, unpacked)
            let target = URL(fileURLWithPath: "\(unpacked)\(file)")
            var contents = try Data(contentsOf: target)
            guard let range = contents.range(of: Data(text.old.utf8)), text.old.utf8.count == text.new.utf8.count else {
                throw CommandFailure(description: "There is no '\(text.old)' in '\(file)' of '\(name)'.")
            }
            contents.replaceSubrange(range, with: Data(text.new.utf8))
            try contents.write(to: target)
            try await run("dpkg-deb", "--root-owner-group", "-Znone", "--build", unpacked, path)
            try FileManager.default.removeItem(atPath: unpacked)
        }
        let version = try await Command.run(["dpkg-deb", "--field", path, "Version"]).stdout
        return DebianPackage(path: path, version: version.trimmingCharacters(in: .newlines))
    }

    private static func run(_ command: String...) async throws {
        let output = try await Command.run(command)
        if output.status == 0 { return }
        throw CommandFailure(description: "'\(command.joined(separator: " "))' failed: \(output.stderr)")
    }
}

extension BootedSystem {
    /// Installs, upgrades or downgrades by apt, which has no archive here: all that is needed has to be there.
    @discardableResult
    package func install(_ package: DebianPackage, check: Bool = true) async throws -> Output {
        let name = (package.path as NSString).lastPathComponent
        try FileManager.default.copyItem(atPath: package.path, toPath: hostPath("/tmp/\(name)"))
        defer { try? FileManager.default.removeItem(atPath: hostPath("/tmp/\(name)")) }
        return try await apt(["install", "--reinstall", "--allow-downgrades", "/tmp/\(name)"], check: check)
    }

    @discardableResult
    package func apt(
        _ arguments: [String],
        deadline: Duration = .seconds(180),
        check: Bool = true
    ) async throws -> Output {
        let options = ["--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io"]
        return try await run(
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"] + options + arguments,
            deadline: deadline,
            check: check
        )
    }

    /// Offers packages as an archive would, from where apt updates what is installed.
    /// - Parameter origin: the archive's name to unattended-upgrades.
    package func offer(_ packages: [DebianPackage], origin: String) async throws {
        let archive = "/var/lib/archive"
        try await run(["mkdir", archive])
        for package in packages {
            let name = (package.path as NSString).lastPathComponent
            try FileManager.default.copyItem(atPath: package.path, toPath: hostPath("\(archive)/\(name)"))
        }
        let script = #"""
            set -eu
            cd "$1"
            for deb in *.deb; do
                dpkg-deb --field "$deb"
                printf 'Filename: ./%s\nSize: %s\n' "$deb" "$(stat -c %s "$deb")"
                printf 'SHA256: %s\n\n' "$(sha256sum "$deb" | cut -d ' ' -f 1)"
            done >Packages
            printf 'Origin: %s\nSuite: stable\nDate: %s\nSHA256:\n' "$2" "$(date -Ru)" >Release
            printf ' %s %s Packages\n' "$(sha256sum Packages | cut -d ' ' -f 1)" "$(stat -c %s Packages)" >>Release
            echo "deb [trusted=yes] file:$1 ./" >/etc/apt/sources.list
            """#
        try await run(["sh", "-c", script, "sh", archive, origin])
        try await apt(["update"])
    }

    /// What dpkg says of an installed package, such as `0.1.0`; nil where it is not installed.
    package func installedVersion(of package: String) async throws -> String? {
        let query = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
        let words = try await run(query, check: false).stdout.split(separator: " ")
        return words.count == 2 && words[0] == "installed" ? String(words[1]) : nil
    }
}
