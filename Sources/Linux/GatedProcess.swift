import CLinux
import Glibc

/// What a child that is not trusted is left with: a user of its own without capabilities, and mounts that are read-only
/// and show nothing of /run.
public struct Confinement: Sendable, Equatable, Codable {
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

/// A program to be executed.
public struct Program: Sendable {
    public var path: String
    public var arguments: [String]
    public var environment: [String]
    /// The only descriptors that it has, under the numbers that they have here.
    public var inherited: [Descriptor]
    /// Becomes standard output and standard error.
    public var output: Descriptor
    /// Whom it becomes; nil leaves it what the process is that starts it.
    public var confinement: Confinement?

    public init(
        path: String,
        arguments: [String],
        environment: [String],
        inherited: [Descriptor],
        output: Descriptor,
        confinement: Confinement? = nil
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.inherited = inherited
        self.output = output
        self.confinement = confinement
    }
}

/// A process that waits to be let through to exec. If this process ends first, so does the other,
/// without having executed anything.
public final class GatedProcess: Sendable {
    public let handle: ProcessHandle
    /// Opened by being written to. Whoever has it last closes it.
    public let gate: Descriptor
    /// Readable once exec has succeeded (end of stream) or failed (an errno).
    public let execResult: Descriptor

    /// One that another process has started for this one.
    public init(handle: ProcessHandle, gate: Descriptor, execResult: Descriptor) {
        self.handle = handle
        self.gate = gate
        self.execResult = execResult
    }

    /// Forks a child.
    /// - Parameters:
    ///   - program: its confinement needs CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN, and is taken on right before it
    ///     executes.
    ///   - numbers: what the child has each inherited descriptor as, above 2; nil for the numbers that they have here.
    public init(_ program: Program, numbers: [Int32]? = nil) throws(SystemCallError) {
        let (path, inherited, output, confinement) = (
            program.path, program.inherited, program.output, program.confinement
        )
        let argv = CStringArray([path] + program.arguments)
        let envp = CStringArray(program.environment)
        let present = inherited.map(\.raw)
        let numbers = numbers ?? present
        precondition(numbers.count == present.count, "each descriptor has a number")
        var scratch = [Int32](repeating: -1, count: present.count)
        var gate: Int32 = -1
        var failure: Int32 = -1
        let groups = confinement?.groups ?? []
        var request = clinux_spawn()
        request.argv = UnsafePointer(argv.pointer)
        request.envp = UnsafePointer(envp.pointer)
        request.standard_output = output.raw
        request.inherited_count = present.count
        request.user = confinement?.user ?? 0
        request.group_count = groups.count
        request.network = confinement?.hasNetwork == true ? 1 : 0
        request.locks_memory = confinement?.locksMemory == true ? 1 : 0
        let pid = present.withUnsafeBufferPointer { present in
            numbers.withUnsafeBufferPointer { numbers in
                groups.withUnsafeBufferPointer { groups in
                    scratch.withUnsafeMutableBufferPointer { scratch in
                        path.withCString { path in
                            request.path = path
                            request.inherited = present.baseAddress
                            request.numbers = numbers.baseAddress
                            request.scratch = scratch.baseAddress
                            request.groups = groups.baseAddress
                            return withExtendedLifetime((argv, envp, inherited, output)) {
                                clinux_spawn_gated(&request, &gate, &failure)
                            }
                        }
                    }
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
