import SystemTestSupport

/// Programs that can be given as QEMU= and go wrong in ways of their own.
enum QEMUWrapper: String, CaseIterable {
    /// Ends at once, with a word of farewell.
    case ends
    /// Answers when it is asked what it can do, and ends at once as a VM process.
    case endsAsVMProcess
    /// Never says a word.
    case hangs
    /// Answers when it is asked what it can do, and never says a word as a VM process.
    case hangsAsVMProcess
    /// Runs another machine type than it is told to: only a real load can tell.
    case otherMachine
    /// Another build, which has no machine type `pc` and few devices.
    case smallBuild
    /// Gives the guest's CPU less than it has.
    case fewerFeatures
    /// Gives the second of two CPUs less than the first.
    case unlikeCPUs
    /// Has too little address space for the guest's memory.
    case smallMemory
    /// Says something, and then does all that QEMU does.
    case lastWords
    /// Does all that QEMU does.
    case works

    /// A script that runs what another one does, without a part of its arguments.
    static func dropping(_ part: String, from script: String) -> String {
        let command = script.replacing("#!/bin/sh\n", with: "")
        return #"""
            #!/bin/sh
            i=$#
            while [ $i -gt 0 ]; do
                set -- "$@" "${1%\#(part)}"
                shift
                i=$((i - 1))
            done
            \#(command)
            """#
    }

    private var script: String {
        let run = #"exec /usr/bin/qemu-system-x86_64 "$@""#
        func asVMProcess(_ command: String) -> String {
            #"case "$*" in *"-M none"*) \#(run) ;; esac"# + "\n\(command)"
        }
        /// Changes the arguments that the branch of a `case` matches.
        func changing(_ branch: String) -> String {
            #"""
            i=$#
            while [ $i -gt 0 ]; do
                argument=$1
                shift
                case $argument in
                    \#(branch) ;;
                esac
                set -- "$@" "$argument"
                i=$((i - 1))
            done
            """# + "\n\(run)"
        }
        switch self {
        case .ends: return "echo farewell >&2\nexit 3"
        case .endsAsVMProcess: return asVMProcess("echo farewell >&2\nexit 3")
        case .hangs: return "exec sleep infinity"
        case .hangsAsVMProcess: return asVMProcess("exec sleep infinity")
        case .otherMachine: return changing("pc-q35-7.2,*) argument=pc-q35-7.1,${argument#*,}")
        case .smallBuild: return #"exec /usr/bin/qemu-system-x86_64-microvm "$@""#
        case .fewerFeatures: return changing("*,enforce) argument=$argument,cx16=off")
        case .unlikeCPUs:
            let second = "qemu64-v1-x86_64-cpu,socket-id=0,die-id=0,core-id=1,thread-id=0,cx16=off"
            return asVMProcess(changing("2) argument=1,maxcpus=2").replacing(run, with: "\(run) -device \(second)"))
        case .smallMemory: return asVMProcess("ulimit -v 300000\n\(run)")
        case .lastWords: return "echo famous last words >&2\n\(run)"
        case .works: return run
        }
    }

    /// Writes the program and returns its path.
    func install(on system: BootedSystem) async throws -> String {
        let path = "/usr/local/bin/qemu-\(rawValue)"
        try await system.write(path, "#!/bin/sh\n\(script)\n")
        try await system.run(["chmod", "755", path])
        return path
    }
}
