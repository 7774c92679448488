import Glibc
import Lifecycle
import Linux

/// Stops the supervisor exactly at a step, so that a test can do harm there: see "Faults at exact steps" in
/// docs/how-it-works.md. There is none unless the variable PERDURE_HALT_FILE is set.
struct HaltFile: Sendable {
    enum Moment: String {
        case before
        /// The step has succeeded, and nobody has been told.
        case after
    }

    private static let variable = "PERDURE_HALT_FILE"
    private static let longest = 256

    private let path: String

    init?() {
        guard let path = getenv(HaltFile.variable) else { return nil }
        self.path = String(cString: path)
    }

    /// Removes the file and stops this process, where the file names this point.
    func reach(_ moment: Moment, _ step: Step, of run: Lifecycle.Run) {
        guard let bytes = try? Descriptor.open(path, O_RDONLY).read(at: 0, count: HaltFile.longest) else { return }
        let operation = (run.undoing == nil ? "" : "undo-") + run.operation.rawValue
        let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard words == [operation[...], step.rawValue[...], moment.rawValue[...]] else { return }
        unlink(path)
        raise(SIGSTOP)
    }
}
