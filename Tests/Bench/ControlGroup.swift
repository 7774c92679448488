import Foundation
import Glibc
import Linux

/// A cgroup of this machine.
struct ControlGroup {
    let path: String

    /// Makes the cgroup if there is none. Whoever owns the one above removes it.
    func make() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func add(_ pid: Int32) throws { try write("\(pid)", "cgroup.procs") }

    /// Lets no process in it run any more, also such as come in later.
    func freeze() throws { try write("1", "cgroup.freeze") }

    func thaw() throws { try write("0", "cgroup.freeze") }

    private func write(_ value: String, _ file: String) throws {
        try Descriptor.open("\(path)/\(file)", O_WRONLY).write(Array(value.utf8), at: 0)
    }
}
