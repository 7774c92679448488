import Glibc
import Lifecycle
import Linux
import QMP

/// QEMU says that it could not save, or load, the device state.
struct MigrationFailed: Error, CustomStringConvertible {
    let description: String
}

/// How device state gets out of a VM process and into the next. From QEMU 8.2 on it is written to and read from a file
/// that QEMU opens in a descriptor set; before, a plain descriptor of the file does.
extension VMProcess {
    private static let descriptorName = "vmstate"
    private static let descriptorSet = 1

    private var uri: String {
        record.hasFileMigration ? "file:/dev/fdset/\(VMProcess.descriptorSet)" : "fd:\(VMProcess.descriptorName)"
    }

    /// Hands QEMU the empty file that it is to save into. Done before the pause.
    func prepareSave(to file: Descriptor?) async throws {
        guard let file else { throw Lifecycle.Failure("'vmstate' is not in the descriptor store") }
        try MemoryFile.resize(file, to: 0, name: "vmstate")
        try await hand(file.reopened(O_WRONLY))
        isPreparedToSave = true
    }

    /// Hands QEMU the file that it is to load from. Done before the pause.
    func prepareLoad(from file: Descriptor?) async throws {
        guard let file else { throw Lifecycle.Failure("'vmstate' is not in the descriptor store") }
        try await hand(file.reopened(O_RDONLY))
        isPreparedToLoad = true
    }

    private func hand(_ file: Descriptor) async throws {
        let deadline = GuestSupervisor.answerDeadline
        guard record.hasFileMigration else {
            try await qmp.execute(GetDescriptor(name: VMProcess.descriptorName), passing: file, deadline: deadline)
            return
        }
        // A descriptor of an earlier attempt would be used again, at the offset where that one ended.
        _ = try? await qmp.execute(RemoveDescriptors(set: VMProcess.descriptorSet), deadline: deadline)
        try await qmp.execute(AddDescriptor(set: VMProcess.descriptorSet), passing: file, deadline: deadline)
    }

    /// Takes back what was handed over and not used.
    func forgetState() async {
        let deadline = GuestSupervisor.answerDeadline
        if record.hasFileMigration {
            _ = try? await qmp.execute(RemoveDescriptors(set: VMProcess.descriptorSet), deadline: deadline)
        } else {
            _ = try? await qmp.execute(CloseDescriptor(name: VMProcess.descriptorName), deadline: deadline)
        }
    }

    /// Saves the device state of a stopped guest, and returns its size in bytes.
    func save(into file: Descriptor?, deadline: Duration) async throws -> UInt64 {
        if !isPreparedToSave { try await prepareSave(to: file) }
        isPreparedToSave = false
        try await migrate(Migrate(uri: uri), deadline: deadline)
        return try file?.size() ?? 0
    }

    /// Loads device state. Afterwards the guest can be continued.
    func load(from file: Descriptor?, deadline: Duration) async throws {
        if !isPreparedToLoad { try await prepareLoad(from: file) }
        isPreparedToLoad = false
        let exitOnError = facts?.hasExitOnError == true ? false : nil
        try await migrate(MigrateIncoming(uri: uri, exitOnError: exitOnError), deadline: deadline)
    }

    private func migrate(_ command: some QMPCommand, deadline: Duration) async throws {
        let event = try await qmp.execute(
            command,
            awaiting: { MigrationStatus(event: $0)?.isFinal == true },
            deadline: deadline
        )
        if MigrationStatus(event: event) == .completed { return }
        let migration = try await qmp.execute(QueryMigration(), deadline: GuestSupervisor.answerDeadline)
        throw MigrationFailed(description: migration.error?.description ?? "QEMU says no more than that it failed")
    }

    /// A save takes some hundredths of this.
    private static let lateSave = Duration.seconds(2)

    /// Ends a save that is still under way; a guest can't be continued before.
    func finishSaving(deadline: Duration) async throws {
        // By itself, if it can: until 9.0, QEMU may carry a cancellation out in the middle of the step that takes the disks
        // out of use, and then run a guest, which was running when the save began, without them.
        if try await hasFinishedSaving(within: min(VMProcess.lateSave, deadline)) { return }
        _ = try await qmp.execute(
            CancelMigration(),
            awaiting: { MigrationStatus(event: $0)?.isFinal == true },
            deadline: deadline
        )
    }

    private func hasFinishedSaving(within time: Duration) async throws -> Bool {
        let end = ContinuousClock.now + time
        while try await qmp.execute(QueryStatus(), deadline: GuestSupervisor.answerDeadline).status == .finishMigrate {
            let left = end - .now
            if left <= .zero { return false }
            do {
                // Where that is over, QEMU is about to change its state, too.
                _ = try await qmp.execute(
                    QueryMigration(),
                    awaiting: { MigrationStatus(event: $0)?.isFinal == true },
                    unless: { $0.status?.isFinal == true },
                    deadline: left
                )
            } catch QMPError.timedOut {
                return false
            }
        }
        return true
    }
}
