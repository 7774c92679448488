import CLinux
import Glibc

/// What a child that is not trusted is left with: a user of its own without capabilities, and mounts that are read-only
/// and show nothing of /run.
public struct Confinement: Sendable, Equatable {
    /// Not 0. The group has the same number.
    public var user: UInt32
    /// More groups, such as that of a device.
    public var groups: [UInt32]
    /// Whether it sees this process's network instead of an empty one.
    public var hasNetwork: Bool

    /// Whether it may lock as much memory as it likes: the only capability that can be left to it.
    public var locksMemory = false

    public init(user: UInt32, groups: [UInt32] = [], hasNetwork: Bool = false) {
        precondition(user != 0, "the superuser is not confined")
        self.user = user
        self.groups = groups
        self.hasNetwork = hasNetwork
    }
}

/// A child that has been forked and waits to be let through to exec. If this process ends first, so does the child,
/// without having executed anything.
public final class GatedProcess: Sendable {
    public let handle: ProcessHandle
    private let gate: Descriptor
    /// Readable once exec has succeeded (end of stream) or failed (an errno).
    public let execResult: Descriptor

    /// - Parameters:
    ///   - inherited: the only descriptors that stay open, under their numbers.
    ///   - output: becomes standard output and standard error.
    ///   - confinement: whom it becomes right before it executes; needs CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN. Nil
    ///     leaves it what this process is.
    public init(
        path: String,
        arguments: [String],
        environment: [String],
        inherited: [Descriptor],
        output: Descriptor,
        confinement: Confinement? = nil
    ) throws(SystemCallError) {
        let argv = CStringArray([path] + arguments)
        let envp = CStringArray(environment)
        let numbers = inherited.map(\.raw)
        var gate: Int32 = -1
        var failure: Int32 = -1
        let groups = confinement?.groups ?? []
        let pid = numbers.withUnsafeBufferPointer { numbers in
            groups.withUnsafeBufferPointer { groups in
                path.withCString { path in
                    var request = clinux_spawn(
                        path: path,
                        argv: argv.pointer,
                        envp: envp.pointer,
                        standard_output: output.raw,
                        inherited: numbers.baseAddress,
                        inherited_count: numbers.count,
                        user: confinement?.user ?? 0,
                        groups: groups.baseAddress,
                        group_count: groups.count,
                        network: confinement?.hasNetwork == true ? 1 : 0,
                        locks_memory: confinement?.locksMemory == true ? 1 : 0
                    )
                    return withExtendedLifetime((argv, envp)) { clinux_spawn_gated(&request, &gate, &failure) }
                }
            }
        }
        try check("fork", on: path) { pid }
        self.gate = Descriptor(owning: gate)
        execResult = Descriptor(owning: failure)
        handle = try ProcessHandle(pid: pid)
    }

    /// Lets the child execute.
    public func open() throws(SystemCallError) {
        try check("write", on: "gate of process \(handle.pid)") { clinux_open_gate(gate.raw) }
    }

    /// Once `execResult` is readable: throws where the program could not be executed.
    public func checkExecuted(path: String) throws(SystemCallError) {
        var code: Int32 = 0
        let got = Glibc.read(execResult.raw, &code, MemoryLayout<Int32>.size)
        if got == MemoryLayout<Int32>.size { throw SystemCallError("execve", on: path, code: code) }
    }
}

/// A NULL-terminated array of C strings.
private final class CStringArray {
    let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointer = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { (pointer + index).initialize(to: strdup(string)) }
        (pointer + strings.count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(pointer[index]) }
        pointer.deallocate()
    }
}
