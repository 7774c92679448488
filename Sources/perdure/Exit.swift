import Glibc

/// The exit status of `perdure`, with sysexits(3)'s numbers.
enum Exit: Int32 {
    case failure = 1
    case usage = 64
    case notRunning = 69
    case refused = 75
    case definition = 78

    func callAsFunction(_ message: String) -> CommandFailure { CommandFailure(status: self, message: message) }
}

/// Ends the program with a message for people.
struct CommandFailure: Error {
    let status: Exit
    let message: String

    func exit() -> Never {
        let line = Array("perdure: \(message)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        Glibc.exit(status.rawValue)
    }
}
