import ArgumentParser
import Glibc
import Linux
import Supervisor

struct HelperCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "helper",
        abstract: "Do for a supervisor what it has no right to do. Run by perdure-helper@.service, not by hand.",
        shouldDisplay: false
    )

    func run() { Helping.run() }
}

/// The main program of `perdure-helper@.service`.
enum Helping {
    /// Seconds for all but waiting for a child. The supervisor has given up by then.
    private static let deadline: UInt32 = 30

    static func run() -> Never {
        signal(SIGPIPE, SIG_IGN)
        // Whatever it hangs in, be it a file system that does not answer.
        alarm(deadline)
        do {
            let helper = Helper { reason in
                let line = Array("<\(LOG_WARNING)>Refused: \(reason)\n".utf8)
                _ = write(STDERR_FILENO, line, line.count)
            }
            try helper.serve(Descriptor(owning: STDIN_FILENO)) { alarm(0) }
        } catch {
            Exit.failure("\(error)").exit()
        }
        exit(EXIT_SUCCESS)
    }
}
