import Glibc
import GuestDefinition
import Lifecycle
import Linux

/// What a guest starts with is read once, before its first VM process, and kept beside its RAM: neither a package that
/// replaces a file nor the next QEMU's own files change what the guest boots from, or how large its ROMs are.
extension GuestSupervisor {
    /// Bytes. QEMU has room for no more firmware; kernels and initial RAM disks have to fit into the guest's RAM.
    private static let largestFirmware: UInt64 = 16 << 20
    private static let largestFile: UInt64 = 1 << 30

    /// What is kept for a guest from its start on, by the names in the descriptor store.
    struct PinnedFiles: Sendable {
        var contents: [String: Descriptor] = [:]
        /// Where firmware was read.
        var firmwarePaths: [String: String] = [:]

        /// Has the ledger say so.
        func note(in ledger: inout Ledger?) {
            ledger?.files = contents.keys.sorted()
            ledger?.firmwarePaths = firmwarePaths
        }
    }

    /// Reads everything that the guest is started with.
    func pinnedFiles(_ hardware: GuestHardware, _ facts: QEMUFacts) async throws -> PinnedFiles {
        var paths = hardware.pinnedPaths
        if paths[.firmware] == nil { paths[.firmware] = try await dataFile("bios-256k.bin", of: facts) }
        if hardware.single.display { paths[.videoBIOS] = try await dataFile("vgabios-stdvga.bin", of: facts) }
        let (wanted, calls) = (paths, calls)
        return try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) {
            var files = PinnedFiles()
            for (file, path) in wanted {
                let isROM = file == .firmware || file == .videoBIOS
                let limit = isROM ? GuestSupervisor.largestFirmware : GuestSupervisor.largestFile
                let name = Inventory.file(file)
                let source = try calls.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
                files.contents[name] = try GuestSupervisor.copy(source, of: path, as: name, limit: limit)
                if isROM { files.firmwarePaths[name] = path }
            }
            let made = try GuestSeed.files(for: hardware, calls)
            for (name, contents) in made {
                let file = try MemoryFile.create(name, growth: .allowed)
                try file.write(contents, at: 0)
                try MemoryFile.sealContents(file, name: name)
                files.contents[name] = file
            }
            return files
        }
    }

    /// Where a QEMU has a file that it would take by itself.
    private func dataFile(_ name: String, of facts: QEMUFacts) async throws -> String? {
        try await QEMUProbe.dataFile(
            name,
            of: facts.path,
            calls: calls,
            loop: loop,
            deadline: timeouts.prepare,
            confinement: try await confinement()
        )
    }

    nonisolated private static func copy(
        _ source: Descriptor,
        of path: String,
        as name: String,
        limit: UInt64
    ) throws -> Descriptor {
        let size = try source.size()
        guard size <= limit, size <= (try MemoryInformation.available()) else {
            throw Lifecycle.Failure(
                "'\(path)' has \(size >> 20) MiB, and at most \(limit >> 20) MiB that fit into the host's memory can be used"
            )
        }
        let copy = try MemoryFile.create(name, growth: .allowed)
        try source.copyContents(to: copy, limit: limit)
        try MemoryFile.sealContents(copy, name: name)
        return copy
    }

    /// Makes the file that the firmware writes to where there is none yet.
    func makeVariableStore(_ hardware: GuestHardware) async throws {
        guard let store = hardware.firmware?.variables else { return }
        try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) {
            // One in a directory that is not root's to look into has to be there.
            guard access(store.path, F_OK) < 0, errno != EACCES else { return }
            let directory = store.path.split(separator: "/").dropLast().map { "/\($0)" }.joined()
            try Directory.make(directory)
            let unfinished = "\(store.path).unfinished"
            if unlink(unfinished) < 0, errno != ENOENT { throw SystemCallError("unlink", on: unfinished) }
            let file = try Descriptor.create(unfinished, mode: 0o600)
            let template = try Descriptor.open(store.template, O_RDONLY | O_NONBLOCK | O_NOCTTY)
            try template.copyContents(to: file, limit: GuestSupervisor.largestFirmware)
            try file.sync()
            if rename(unfinished, store.path) < 0 { throw SystemCallError("rename", on: store.path) }
            try Descriptor.open(directory.isEmpty ? "/" : directory, O_RDONLY).sync()
        }
    }
}
