import Dispatch
import Glibc
import Linux
import Synchronization

/// One line on the terminal that says what is being done and for how long, and is gone afterwards. It is nowhere but on
/// a terminal that can rewrite a line.
final class ProgressLine: Sendable {
    private struct Work {
        let what: String
        var phase: String
        let begin: ContinuousClock.Instant
    }

    private struct State {
        var works: [Work] = []
        var prefix = ""
        var isShown = false
    }

    private let state = Mutex(State())
    // Dispatch does not say that its sources may be used from anywhere.
    private nonisolated(unsafe) let timer: any DispatchSourceTimer

    /// Nil where nobody would see it.
    static func ifSeen(json: Bool = false) -> ProgressLine? {
        let terminal = getenv("TERM").map { String(cString: $0) } ?? ""
        guard !json, RawTerminal.isTerminal(STDERR_FILENO), !["", "dumb"].contains(terminal) else { return nil }
        return ProgressLine()
    }

    private init() {
        timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "perdure-progress"))
        timer.setEventHandler { [weak self] in self?.draw() }
        timer.schedule(deadline: .now() + 1, repeating: 1)
        timer.activate()
    }

    deinit { timer.cancel() }

    /// Says before all else, such as `2 of 5 done; `.
    func setPrefix(_ text: String) { change { $0.prefix = text } }

    /// - Parameters:
    ///   - what: whom it is done to.
    ///   - phase: what is being done now.
    func update(_ what: String, _ phase: String) {
        change { state in
            if let index = state.works.firstIndex(where: { $0.what == what }) {
                state.works[index].phase = phase
            } else {
                state.works.append(Work(what: what, phase: phase, begin: .now))
            }
        }
    }

    func finish(_ what: String) { change { state in state.works.removeAll { $0.what == what } } }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { state in
            body(&state)
            ProgressLine.draw(&state)
        }
    }

    private func draw() { state.withLock { ProgressLine.draw(&$0) } }

    private static func draw(_ state: inout State) {
        guard !state.works.isEmpty else {
            if state.isShown { write("\r\u{1B}[K") }
            state.isShown = false
            return
        }
        let parts = state.works.map { work in
            text(of: work.what, work.phase, seconds: Int((ContinuousClock.now - work.begin).components.seconds))
        }
        // A line that the terminal wraps could not be rewritten.
        let columns = RawTerminal.columns(STDERR_FILENO) ?? 80
        write("\r\u{1B}[K\(String((state.prefix + parts.joined(separator: "; ")).prefix(columns - 1)))")
        state.isShown = true
    }

    static func text(of what: String, _ phase: String, seconds: Int) -> String {
        let time = seconds < 60 ? "\(seconds)s" : "\(seconds / 60)min \(seconds % 60)s"
        return "\(what): \(phase), \(time)"
    }

    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
