import ArgumentParser
import Glibc
import Linux

struct AwaitPackages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "await-packages",
        abstract: "Wait until apt and dpkg have finished. Run by perdure-upgrade.service, not by hand.",
        shouldDisplay: false
    )

    /// Held by apt, and by dpkg where nothing like apt has started it, from the first to the last package.
    private static let lock = "/var/lib/dpkg/lock-frontend"

    /// In the middle of an upgrade QEMU may be there before its libraries are.
    func run() throws {
        do {
            try RecordLock.waitUntilReleased(AwaitPackages.lock)
        } catch {
            // Without dpkg nothing is being installed by it.
            if error.code != ENOENT { throw Exit.failure("\(error)") }
        }
    }
}
