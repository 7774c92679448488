import Glibc
import GuestDefinition
import Lifecycle
import Linux

/// Which process a TPM is in; see `VMProcessRecord`.
struct TPMRecord: Codable, Equatable, Sendable {
    var pid: Int32
    var startTime: UInt64
}

/// The program that a VM process's TPM is in (swtpm). Each VM process has its own, and all of a guest's keep the TPM in
/// the same files: what one has written is whole at any instant, and QEMU hands over all that a TPM knows with the guest.
/// One whose guest does not run is asked nothing, and so writes nothing.
final class TPMEmulator: Sendable {
    static let program = "/usr/bin/swtpm"

    let handle: ProcessHandle
    let output: ProcessOutput?

    init(handle: ProcessHandle, output: ProcessOutput?) { (self.handle, self.output) = (handle, output) }

    /// One that another supervisor has started; nil where it has ended.
    convenience init?(record: TPMRecord) {
        guard let handle = try? ProcessHandle(pid: record.pid, startTime: record.startTime), handle.isRunning else {
            return nil
        }
        self.init(handle: handle, output: nil)
    }

    var record: TPMRecord { TPMRecord(pid: handle.pid, startTime: handle.startTime) }

    /// Sentences on what keeps a guest's TPM from being made; none if nothing does.
    static func problems(_ hardware: GuestHardware) -> [String] {
        guard hardware.single.tpm != nil, access(program, X_OK) < 0 else { return [] }
        return ["'\(program)' can't be used, which [TPM] needs: install the package swtpm"]
    }

    /// Where a guest's TPM is kept.
    static func directory(of guest: String) -> String { "\(Locations.current.state)/\(guest)/tpm" }

    /// The lock of the one that has used the files before: it holds what is not there any more.
    private static let lock = ".lock"

    /// The directory that one has its files in, which belongs to the user that it runs as.
    /// - Parameters:
    ///   - user: nil for this process's own.
    ///   - isIncoming: it is handed a TPM that another one has had until then.
    ///   - isThrowAway: it is to have a copy, which nobody else sees.
    static func openDirectory(of guest: String, user: UInt32?, isIncoming: Bool, isThrowAway: Bool) throws -> Descriptor
    {
        let path = directory(of: guest) + (isThrowAway ? ".rehearsal" : "")
        try Directory.make(path)
        let directory = try Descriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        // By the open directory: its user could put a link in a file's place.
        let names = try Directory.names(in: "/proc/self/fd/\(directory.raw)").filter { $0 != "." && $0 != ".." }
        for name in names where isThrowAway || (isIncoming && name == lock) {
            if unlinkat(directory.raw, name, 0) < 0, errno != ENOENT {
                throw SystemCallError("unlink", on: "\(path)/\(name)")
            }
        }
        guard let user else { return directory }
        if fchown(directory.raw, user, user) < 0 { throw SystemCallError("fchown", on: path) }
        for name in names {
            var status = stat()
            guard fstatat(directory.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_uid != user,
                status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1
            else { continue }
            if fchownat(directory.raw, name, user, user, AT_SYMLINK_NOFOLLOW) < 0 {
                throw SystemCallError("fchown", on: "\(path)/\(name)")
            }
        }
        return directory
    }
}

/// What a TPM needs of the host.
public enum GuestTPM {
    /// Sentences on what keeps a guest's TPM from being made; none if nothing does.
    public static func problems(_ hardware: GuestHardware) -> [String] { TPMEmulator.problems(hardware) }
}

extension TPMEmulator {
    /// Deletes the copy that a rehearsal has had.
    static func removeCopy(of guest: String) {
        let path = directory(of: guest) + ".rehearsal"
        guard let directory = try? Descriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return }
        let names = (try? Directory.names(in: "/proc/self/fd/\(directory.raw)")) ?? []
        for name in names where name != "." && name != ".." { unlinkat(directory.raw, name, 0) }
        rmdir(path)
    }
}

extension GuestSupervisor {
    /// - Parameter vm: the VM process that has the guest; nil where it is saved.
    func tpmProblem(_ hardware: GuestHardware, of vm: VMProcess?) -> Preflight.TPMProblem? {
        guard hardware.single.tpm != nil else { return nil }
        if let vm, vm.tpm?.handle.isRunning != true { return .gone }
        return TPMEmulator.problems(hardware).isEmpty ? nil : .missing
    }

    struct StartedTPM {
        let emulator: TPMEmulator
        let process: GatedProcess
        /// The VM process's end of it.
        let channel: Descriptor
    }

    /// Makes what the VM process that is started next has for a TPM; nil where it has none.
    func startTPM(_ hardware: GuestHardware, _ confinement: Confinement?, isIncoming: Bool) async throws -> StartedTPM?
    {
        guard hardware.single.tpm != nil else { return nil }
        if let problem = TPMEmulator.problems(hardware).first { throw Lifecycle.Failure(problem) }
        let (channel, theirs) = try UnixSocket.pair()
        let isThrowAway = isRehearsing
        let (name, calls) = (name, calls)
        let directory = try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) {
            try calls.openTPM(of: name, user: confinement?.user, isIncoming: isIncoming, isThrowAway: isThrowAway)
        }
        let output = try ProcessOutput()
        let program = Program(
            path: TPMEmulator.program,
            arguments: [
                "socket", "--tpm2", "--terminate", "--ctrl", "type=unixio,clientfd=\(theirs.raw)",
                "--tpmstate", "dir=/proc/self/fd/\(directory.raw)",
            ],
            environment: QEMUProbe.environment,
            inherited: [theirs, directory],
            output: output.file,
            confinement: confinement
        )
        let process = try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) { try calls.start(program) }
        return StartedTPM(
            emulator: TPMEmulator(handle: process.handle, output: output),
            process: process,
            channel: channel
        )
    }

    /// Kills what a VM process's TPM is in, and returns when nothing is left of it.
    func endTPM(of vm: VMProcess) async throws {
        guard let tpm = vm.tpm else { return }
        try tpm.handle.kill()
        try await loop.readable(tpm.handle.descriptor, deadline: GuestSupervisor.killDeadline)
        _ = tpm.handle.reap()
        vm.tpm = nil
        if vm.isThrowAway { try await BlockingCalls.run { [name, calls] in try calls.removeTPMCopy(of: name) } }
    }
}
