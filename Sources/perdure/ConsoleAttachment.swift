import ArgumentParser
import Glibc
import Linux
import Terminal

/// Standard output, which may take its time; signals are seen meanwhile.
struct ConsoleOutput {
    /// What a pipe takes at once when it takes anything.
    private static let portion = 4096

    /// Signals that end the program, where they are not left to the kernel.
    var signals: Descriptor?

    func write(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            if let signals {
                let ready = try Polling.wait(for: [.writable(STDOUT_FILENO), .readable(signals.raw)])
                if ready[1], let signal = try Signals.next(from: signals) { try ConsoleOutput.obey(signal) }
                if !ready[0] { continue }
            }
            let portion = rest.prefix(ConsoleOutput.portion)
            let put = portion.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if put < 0 && errno == EINTR { continue }
            if put < 0 { throw ExitCode(errno == EPIPE ? 0 : Exit.failure.rawValue) }
            rest = rest.dropFirst(put)
        }
    }

    /// The terminal is as it was while the program is stopped, and after its end.
    static func obey(_ signal: Int32) throws {
        switch signal {
        case SIGTSTP:
            RawTerminal.restore()
            raise(SIGSTOP)
            try RawTerminal.enter(STDIN_FILENO)
        case SIGCONT: try RawTerminal.enter(STDIN_FILENO)
        default: throw ExitCode(128 + signal)
        }
    }
}

/// A guest's console, for as long as the guest lives: what it writes is printed, what is typed is passed on.
///
/// Both go through the kernel's hands only, a memory file and a pipe, so that neither needs a supervisor or a VM process
/// to be there.
final class ConsoleAttachment {
    /// How much typed input waits here for a guest that takes none, beside what its pipe holds. In bytes.
    private static let mostWaiting = 64 << 10
    /// A supervisor may be there and have no console yet, while it boots a guest anew.
    private static let retryInterval = Duration.seconds(1)
    private static let handled = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT]

    private enum Supervisor {
        case there
        /// Watched before each try: one that comes in between is not missed.
        case awaited(FileWatch)
    }

    private let guest: String
    private let isInteractive: Bool
    private var session: ConsoleSession
    private var supervisor = Supervisor.there
    private var output = ConsoleOutput()
    private var escape = EscapeSequence()
    private var waiting: ArraySlice<UInt8> = []
    private var takesInput: Bool
    private var hasDropped = false

    init(_ session: ConsoleSession, guest: String, isInteractive: Bool, takesInput: Bool) {
        self.session = session
        self.guest = guest
        self.isInteractive = isInteractive
        self.takesInput = takesInput
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        if takesInput, session.input == nil {
            takesInput = isInteractive
            tell(
                "the VM process of guest '\(guest)' takes no input before the next handover ('perdure upgrade \(guest)')"
            )
        }
        if isInteractive {
            tell("connected to guest '\(guest)'; \(EscapeSequence.name) leaves it")
            // The first thing: from here on nothing ends this program without the terminal being put back.
            try Signals.block(ConsoleAttachment.handled)
            output.signals = try Signals.descriptor(for: ConsoleAttachment.handled)
            try RawTerminal.enter(STDIN_FILENO)
        }
        defer { RawTerminal.restore() }
        while true {
            try session.printNew(to: output)
            guard try step() else { break }
        }
        RawTerminal.restore()
        if isInteractive { tell("left guest '\(guest)'") }
    }

    /// Waits for something to happen, and sees to it. False once the session is over.
    private func step() throws -> Bool {
        let awaited: FileWatch? = if case .awaited(let watch) = supervisor { watch } else { nil }
        let input = session.input
        // A terminal is always read: the keys that end this must work where the guest takes nothing.
        let reads = takesInput && (isInteractive || waiting.isEmpty)
        let ready = try Polling.wait(
            for: [
                .readable(session.writes.descriptor.raw),
                .readable(awaited?.descriptor.raw ?? session.client.socket.raw),
                reads ? .readable(STDIN_FILENO) : .none,
                waiting.isEmpty ? .none : input.map { .writable($0.raw) } ?? .none,
                output.signals.map { .readable($0.raw) } ?? .none,
            ],
            deadline: awaited == nil ? nil : ConsoleAttachment.retryInterval
        )
        if ready[4], let signals = output.signals {
            while let signal = try Signals.next(from: signals) { try ConsoleOutput.obey(signal) }
        }
        if ready[0] { session.writes.drain() }
        if ready[2], try !readInput() { return false }
        try passOn()
        guard ready[1] || awaited != nil else { return true }
        // The supervisor has ended; what the guest writes until it is off is there all the same.
        try session.printNew(to: output)
        return try lookForSupervisor()
    }

    // MARK: Input

    private func readInput() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let got = read(STDIN_FILENO, &buffer, buffer.count)
        if got < 0 && (errno == EINTR || errno == EAGAIN) { return true }
        guard got > 0 else {
            // The end of a file is the end of the input; of a terminal, it is the person who has gone.
            takesInput = false
            return !isInteractive
        }
        guard isInteractive else {
            waiting += buffer[..<got]
            return true
        }
        let (passed, isComplete) = escape.take(buffer[..<got], at: .now)
        let room = max(0, session.input == nil ? 0 : ConsoleAttachment.mostWaiting - waiting.count)
        if passed.count > room, !hasDropped {
            hasDropped = true
            tell("the guest takes no input: what is typed from here on is lost\r")
        }
        if passed.count <= room { hasDropped = false }
        waiting += passed.prefix(room)
        if isComplete { try passOn() }
        return !isComplete
    }

    private func passOn() throws {
        guard let input = session.input else { return }
        while !waiting.isEmpty {
            // No more than a pipe takes whole or not at all: two people's lines do not mix within.
            let portion = waiting.prefix(Int(PIPE_BUF))
            let put = portion.withUnsafeBytes { write(input.raw, $0.baseAddress, $0.count) }
            if put < 0 && errno == EINTR { continue }
            if put < 0 && errno == EAGAIN { return }
            if put < 0 { throw Exit.failure("\(SystemCallError("write", on: "console of guest '\(guest)'"))") }
            waiting = waiting.dropFirst(put)
        }
        waiting = []
    }

    // MARK: Supervisors

    /// False once the guest is off.
    private func lookForSupervisor() throws -> Bool {
        // systemd removes the directory with a stop, and keeps it over a restart.
        guard let changes = try? FileWatch.directory(GuestClient.directory(of: guest)) else {
            try session.printNew(to: output)
            return false
        }
        supervisor = .awaited(changes)
        guard let next = try? ConsoleSession(guest, deadline: ConsoleAttachment.retryInterval) else { return true }
        if try !session.goOn(with: next) {
            try session.printNew(to: output)
            session = next
        }
        supervisor = .there
        return true
    }

    private func tell(_ message: String) {
        let line = Array("perdure: \(message)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
