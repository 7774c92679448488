import Glibc
import Linux

/// What a supervisor needs more rights for than it has itself. All calls block.
public protocol ProcessCalls: Sendable {
    /// Starts a program that waits at its gate: a VM process, or a QEMU that is asked what it can do.
    func start(_ program: Program) throws -> GatedProcess
    func look(at process: ProcessHandle) throws -> ProcessView
    /// Duplicates of descriptors that a process has. What can't be had of them is in `failures`.
    func fetch(_ numbers: [Int32], from process: ProcessHandle) throws -> FetchedDescriptors
    /// Opens a file or device of the host. `flags` as in open(2).
    func open(_ path: String, _ flags: Int32) throws -> Descriptor
    /// The directory that a guest's TPM is in, made the guest's user's; see `TPMEmulator`.
    func openTPM(of guest: String, user: UInt32?, isIncoming: Bool, isThrowAway: Bool) throws -> Descriptor
    /// Deletes the copy of a TPM that a rehearsal has had.
    func removeTPMCopy(of guest: String) throws
}

extension ProcessCalls {
    /// A descriptor that the caller closes; nil where the file can't be opened.
    @Sendable func openForReading(_ path: String, _ flags: Int32) -> Int32? {
        guard let file = try? open(path, flags) else { return nil }
        let duplicate = withExtendedLifetime(file) { fcntl(file.raw, F_DUPFD_CLOEXEC, 0) }
        return duplicate < 0 ? nil : duplicate
    }
}

/// What only who may trace a process can see of it.
public struct ProcessView: Sendable {
    /// /proc/PID/maps; what is read is as the process is then.
    public var maps: Descriptor
    /// Numbers of its descriptors of memory files, by the names of these.
    public var memoryFiles: [String: [Int32]]
    /// The files that it executes, by the paths that it has mapped them from.
    public var executed: [String: FileIdentity]
    /// What it writes to, where that is a file as `ProcessOutput` makes it; for reading only.
    public var output: Descriptor?
}

public struct FetchedDescriptors: Sendable {
    public var found: [Int32: Descriptor] = [:]
    public var failures: [Int32: SystemCallError] = [:]

    public init() {}

    func descriptor(_ number: Int32) throws -> Descriptor {
        if let descriptor = found[number] { return descriptor }
        throw failures[number] ?? SystemCallError("pidfd_getfd", on: "fd \(number)", code: EBADF)
    }
}

/// By this process itself.
public struct OwnCalls: ProcessCalls {
    public init() {}

    public func start(_ program: Program) throws -> GatedProcess { try GatedProcess(program) }

    public func look(at process: ProcessHandle) throws -> ProcessView {
        let maps = try Mappings.file(of: process)
        let memoryFiles = try process.memoryFiles()
        var executed: [String: FileIdentity] = [:]
        for entry in try Mappings(reading: maps).entries where OutdatedProgram.isExecuted(entry) {
            // Only root may look; for others the kernel's "(deleted)" has to do.
            if executed[entry.path] == nil, let identity = try? FileIdentity.of(path: entry.link(of: process.pid)) {
                executed[entry.path] = identity
            }
        }
        // The process may have put something else in its place: what is no file of ours is left alone.
        let output = (try? process.fetch(STDERR_FILENO)).flatMap { file in
            MemoryFile.isSealed(file) ? try? file.reopened(O_RDONLY) : nil
        }
        guard process.isRunning else { throw SystemCallError("open", on: "/proc/\(process.pid)", code: ESRCH) }
        return ProcessView(maps: maps, memoryFiles: memoryFiles, executed: executed, output: output)
    }

    public func fetch(_ numbers: [Int32], from process: ProcessHandle) throws -> FetchedDescriptors {
        var fetched = FetchedDescriptors()
        for number in Set(numbers) {
            do { fetched.found[number] = try process.fetch(number) } catch { fetched.failures[number] = error }
        }
        return fetched
    }

    public func open(_ path: String, _ flags: Int32) throws -> Descriptor { try Descriptor.open(path, flags) }

    public func openTPM(of guest: String, user: UInt32?, isIncoming: Bool, isThrowAway: Bool) throws -> Descriptor {
        try TPMEmulator.openDirectory(of: guest, user: user, isIncoming: isIncoming, isThrowAway: isThrowAway)
    }

    public func removeTPMCopy(of guest: String) throws { TPMEmulator.removeCopy(of: guest) }
}

extension Mappings.Entry {
    /// Leads to the file that is mapped, whatever is at its path now.
    func link(of pid: Int32) -> String {
        let (begin, end) = (String(range.lowerBound, radix: 16), String(range.upperBound, radix: 16))
        return "/proc/\(pid)/map_files/\(begin)-\(end)"
    }
}
