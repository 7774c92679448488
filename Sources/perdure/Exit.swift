import ArgumentParser
import Glibc

/// The exit status of `perdure`, with sysexits(3)'s numbers.
enum Exit: Int32 {
    case failure = 1
    case notRunning = 69
    case refused = 75
    case definition = 78

    /// Says why on standard error and ends the program.
    func callAsFunction(_ message: String) -> ExitCode {
        print("perdure: \(message)", to: &standardError)
        return ExitCode(rawValue)
    }
}

nonisolated(unsafe) private var standardError = StandardError()

private struct StandardError: TextOutputStream {
    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
