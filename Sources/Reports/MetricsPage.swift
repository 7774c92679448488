import Supervisor
import Varlink

/// All guests' numbers in the text format of Prometheus.
public struct MetricsPage {
    public struct Guest: Encodable {
        public let name: String
        /// Nil where the guest has no supervisor that answers.
        public let metrics: GuestInterface.Metrics?

        public init(name: String, metrics: GuestInterface.Metrics?) {
            self.name = name
            self.metrics = metrics
        }
    }

    private enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    /// What a guest may be doing; each is a series of its own, with 1 for the one that is true.
    public static let states = ["running", "paused", "saved", "unclear", "off", "recovering", "operating"]

    private var lines: [String] = []
    private let guests: [Guest]
    private let running: [(name: String, metrics: GuestInterface.Metrics)]

    public static func text(_ guests: [Guest]) -> String {
        var page = MetricsPage(guests)
        page.addGuests()
        page.addMemory()
        page.addHandovers()
        page.addDisks()
        return page.lines.joined(separator: "\n") + "\n"
    }

    private init(_ guests: [Guest]) {
        self.guests = guests
        running = guests.compactMap { guest in guest.metrics.map { (guest.name, $0) } }
    }

    private mutating func addGuests() {
        family("perdure_build_info", .gauge, "The program's version.")
        sample("perdure_build_info", [("version", PerdureVersion.current)], "1")
        family("perdure_guest_up", .gauge, "Whether the guest has a supervisor that answers.")
        for guest in guests {
            sample("perdure_guest_up", [("guest", guest.name)], guest.metrics == nil ? "0" : "1")
        }
        family("perdure_guest_state", .gauge, "What the guest is doing: 1 for the state that it is in.")
        for guest in running {
            for state in MetricsPage.states {
                let labels = [("guest", guest.name), ("state", state)]
                sample("perdure_guest_state", labels, guest.metrics.state == state ? "1" : "0")
            }
        }
        each("perdure_guest_generation", .gauge, "Counts the VM processes that the guest has had.") {
            "\($0.generation)"
        }
        each("perdure_guest_qemu_outdated", .gauge, "Whether the QEMU that the guest runs in was replaced on disk.") {
            $0.outdated ? "1" : "0"
        }
        each(
            "perdure_guest_firmware_outdated",
            .gauge,
            "Whether the firmware that the guest was started with was replaced on disk."
        ) { $0.firmwareOutdated.map { $0 ? "1" : "0" } }
        each("perdure_guest_store_complete", .gauge, "Whether systemd keeps all that must outlive the supervisor.") {
            $0.storeComplete ? "1" : "0"
        }
        family("perdure_guest_qemu_info", .gauge, "The QEMU that the guest runs in.")
        for guest in running {
            guard let version = guest.metrics.qemuVersion else { continue }
            sample("perdure_guest_qemu_info", [("guest", guest.name), ("version", version)], "1")
        }
    }

    private mutating func addMemory() {
        each("perdure_guest_memory_bytes", .gauge, "The guest's RAM.") { "\($0.ramBytes)" }
        each("perdure_guest_memory_used_bytes", .gauge, "RAM that the guest has used and not given back.") {
            "\($0.ramUsedBytes)"
        }
        each("perdure_guest_process_memory_bytes", .gauge, "What the VM process takes besides the guest's RAM.") {
            $0.processBytes.map { "\($0)" }
        }
        each("perdure_guest_console_output_bytes_total", .counter, "What the guest has written to its serial console.")
        {
            "\($0.consoleBytes)"
        }
    }

    private mutating func addHandovers() {
        family(
            "perdure_guest_handovers_total",
            .counter,
            "Handovers since the guest was started, by what came of them."
        )
        for guest in running {
            for handovers in guest.metrics.handovers {
                let labels = [("guest", guest.name), ("result", handovers.result)]
                sample("perdure_guest_handovers_total", labels, "\(handovers.count)")
            }
        }
        each("perdure_guest_last_handover_pause_seconds", .gauge, "How long the last handover paused the guest.") {
            $0.lastPauseUsec.map { MetricsPage.seconds($0, digits: 6) }
        }
        let histogram = "perdure_guest_handover_pause_seconds"
        family(histogram, .histogram, "How long handovers have paused the guest since it was started.")
        for guest in running {
            var count = 0
            for pauses in guest.metrics.pauses {
                count += pauses.count
                let bound = pauses.boundUsec.map { MetricsPage.seconds($0, digits: 6) } ?? "+Inf"
                sample("\(histogram)_bucket", [("guest", guest.name), ("le", bound)], "\(count)")
            }
            let sum = MetricsPage.seconds(guest.metrics.pauseSumUsec, digits: 6)
            sample("\(histogram)_sum", [("guest", guest.name)], sum)
            sample("\(histogram)_count", [("guest", guest.name)], "\(count)")
        }
    }

    private mutating func addDisks() {
        disks("read_bytes_total", "Bytes that the guest has read in this VM process.") { "\($0.readBytes)" }
        disks("written_bytes_total", "Bytes that the guest has written in this VM process.") { "\($0.writtenBytes)" }
        disks("reads_total", "Reads in this VM process.") { "\($0.reads)" }
        disks("writes_total", "Writes in this VM process.") { "\($0.writes)" }
        disks("flushes_total", "Flushes in this VM process.") { "\($0.flushes)" }
        disks("read_seconds_total", "Time that reads took.") { MetricsPage.seconds($0.readNsec, digits: 9) }
        disks("write_seconds_total", "Time that writes took.") { MetricsPage.seconds($0.writeNsec, digits: 9) }
        disks("flush_seconds_total", "Time that flushes took.") { MetricsPage.seconds($0.flushNsec, digits: 9) }
        disks("failures_total", "Reads, writes and flushes that failed.") { "\($0.failures)" }
    }

    private mutating func disks(_ name: String, _ help: String, _ value: (GuestInterface.DiskMetrics) -> String) {
        family("perdure_guest_disk_\(name)", .counter, help)
        for guest in running {
            for disk in guest.metrics.disks {
                sample("perdure_guest_disk_\(name)", [("guest", guest.name), ("disk", disk.disk)], value(disk))
            }
        }
    }

    /// A family with one series per guest; none for a guest where the value is nil.
    private mutating func each(
        _ name: String,
        _ kind: Kind,
        _ help: String,
        _ value: (GuestInterface.Metrics) -> String?
    ) {
        family(name, kind, help)
        for guest in running {
            if let text = value(guest.metrics) { sample(name, [("guest", guest.name)], text) }
        }
    }

    private mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        lines.append("# HELP \(name) \(help)")
        lines.append("# TYPE \(name) \(kind.rawValue)")
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
        let text = labels.map { "\($0.0)=\"\(MetricsPage.escaped($0.1))\"" }.joined(separator: ",")
        lines.append("\(name){\(text)} \(value)")
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    /// A whole number of the `digits`-th decimal place as seconds, exactly: `8312` with 6 digits is `0.008312`.
    static func seconds(_ value: Int, digits: Int) -> String {
        let text = String(repeating: "0", count: max(0, digits + 1 - "\(value)".count)) + "\(value)"
        var fraction = text.suffix(digits)
        while fraction.last == "0" { fraction.removeLast() }
        return text.dropLast(digits) + (fraction.isEmpty ? "" : ".\(fraction)")
    }
}
