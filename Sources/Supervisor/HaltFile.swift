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

    /// Empties the file and stops this process, where the file names this point.
    func reach(_ moment: Moment, _ step: Step, of run: Lifecycle.Run) {
        guard let bytes = contents else { return }
        let operation = (run.undoing == nil ? "" : "undo-") + run.operation.rawValue
        let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard words == [operation[...], step.rawValue[...], moment.rawValue[...]] else { return }
        truncate(path, 0)
        // systemd lets a process that it has told to end go on, if it is stopped: that is not meant.
        while contents?.isEmpty == true { raise(SIGSTOP) }
    }

    /// Nil where there is no file.
    private var contents: [UInt8]? {
        try? Descriptor.open(path, O_RDONLY).read(at: 0, count: HaltFile.longest)
    }
}
