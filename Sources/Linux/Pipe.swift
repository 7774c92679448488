import CLinux
import Glibc

/// Pipes (pipe(7)).
public enum Pipe {
    /// A pipe that holds 64 KiB, as one non-blocking descriptor that is both its ends: as long as it is open, readers wait
    /// for more and writers are heard.
    public static func create() throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("pipe2", on: "a new pipe") { clinux_pipe() })
    }

    public static func isPipe(_ descriptor: Descriptor) -> Bool {
        var status = stat()
        return fstat(descriptor.raw, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    }
}
