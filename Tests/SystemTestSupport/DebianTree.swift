import Foundation

/// A tree of another Debian release that `System/make-tree` has made, to be booted or to take its QEMU from.
package enum DebianTree: String, CaseIterable, Sendable {
    /// systemd 252, QEMU 7.2, and in `/var/cache/upgrade` the packages that upgrade systemd to that of `trixie`.
    case bookworm
    /// As that, a whole host: needrestart, unattended-upgrades and more, and all packages of a full-upgrade to `trixie`.
    case bookwormHost = "bookworm-host"
    /// systemd 257, QEMU 10.0, and likewise the packages of `sid`.
    case trixie
    /// systemd 262, QEMU 11.1.
    case sid

    /// On this machine.
    package var path: String { "\(BootedSystem.cache)/trees/\(rawValue)" }

    /// Inside of a booted system.
    package var pathInside: String { "/var/lib/perdure-tests/trees/\(rawValue)" }

    package var isThere: Bool { FileManager.default.fileExists(atPath: path) }

    /// Why tests that need these trees have to be skipped; nil if they are there.
    package static func missing(_ trees: [DebianTree]) -> String? {
        guard let tree = trees.first(where: { !$0.isThere }) else { return nil }
        let reason = try? String(contentsOfFile: "\(tree.path).missing", encoding: .utf8)
        return "There is no tree of Debian \(tree.rawValue) at '\(tree.path)'. \(reason ?? "'make stage' makes it.")"
    }

    /// A program that runs the tree's QEMU on another Debian. It becomes QEMU: its process is QEMU's.
    package var qemuScript: String {
        let libraries = "\(pathInside)/usr/lib/x86_64-linux-gnu"
        let data = ["share/qemu", "share/seabios", "lib/ipxe/qemu"].map { "-L \(pathInside)/usr/\($0)" }
        return """
            #!/bin/sh
            exec \(libraries)/ld-linux-x86-64.so.2 --library-path \(libraries) \\
                \(pathInside)/usr/bin/qemu-system-x86_64 \(data.joined(separator: " ")) "$@"

            """
    }
}
