import CSystemd
import Glibc
import Linux

/// Which unit a process belongs to, by its cgroup: no process gets into another unit's by itself, but root's.
public enum ProcessUnit {
    /// The system manager's unit; for what user managers run that is theirs, such as 'user@1000.service'.
    /// ENODATA for a process that is in no unit.
    public static func of(_ process: ProcessHandle) throws(SystemCallError) -> String {
        var name: UnsafeMutablePointer<CChar>?
        let result = sd_pid_get_unit(process.pid, &name)
        guard result >= 0, let name else {
            throw SystemCallError("sd_pid_get_unit", on: "\(process.pid)", code: result < 0 ? -result : ENODATA)
        }
        defer { free(name) }
        // What was read is this process's only while its number has not been given to another.
        guard process.isRunning else { throw SystemCallError("sd_pid_get_unit", on: "\(process.pid)", code: ESRCH) }
        return String(cString: name)
    }
}
