import Foundation
import Testing
import Varlink

@testable import Reports

struct MetricsPageTests {
    static let disk = GuestInterface.DiskMetrics(
        disk: "root",
        readBytes: 4096,
        writtenBytes: 8192,
        reads: 1,
        writes: 2,
        flushes: 3,
        readNsec: 1_500_000_000,
        writeNsec: 1,
        flushNsec: 0,
        failures: 0
    )
    static let metrics = GuestInterface.Metrics(
        state: "running",
        generation: 3,
        qemuVersion: "7.2.22",
        outdated: true,
        firmwareOutdated: false,
        storeComplete: true,
        ramBytes: 2 << 30,
        ramUsedBytes: 1 << 30,
        processBytes: 60 << 20,
        consoleBytes: 512,
        lastPauseUsec: 8312,
        handovers: [GuestInterface.HandoverCount(result: "done", count: 2)],
        pauses: [
            GuestInterface.PauseClass(boundUsec: 5000, count: 0),
            GuestInterface.PauseClass(boundUsec: 10_000, count: 2),
            GuestInterface.PauseClass(boundUsec: nil, count: 1),
        ],
        pauseSumUsec: 12_016_624,
        disks: [disk]
    )
    static let page = MetricsPage.text([
        MetricsPage.Guest(name: "web", metrics: metrics), MetricsPage.Guest(name: "off", metrics: nil),
    ])

    @Test(arguments: [
        #"perdure_guest_up{guest="web"} 1"#, #"perdure_guest_up{guest="off"} 0"#,
        #"perdure_guest_state{guest="web",state="running"} 1"#, #"perdure_guest_state{guest="web",state="saved"} 0"#,
        #"perdure_guest_generation{guest="web"} 3"#, #"perdure_guest_qemu_outdated{guest="web"} 1"#,
        #"perdure_guest_firmware_outdated{guest="web"} 0"#,
        #"perdure_guest_qemu_info{guest="web",version="7.2.22"} 1"#,
        #"perdure_guest_memory_bytes{guest="web"} 2147483648"#,
        #"perdure_guest_handovers_total{guest="web",result="done"} 2"#,
        #"perdure_guest_last_handover_pause_seconds{guest="web"} 0.008312"#,
        #"perdure_guest_handover_pause_seconds_bucket{guest="web",le="0.005"} 0"#,
        #"perdure_guest_handover_pause_seconds_bucket{guest="web",le="0.01"} 2"#,
        #"perdure_guest_handover_pause_seconds_bucket{guest="web",le="+Inf"} 3"#,
        #"perdure_guest_handover_pause_seconds_sum{guest="web"} 12.016624"#,
        #"perdure_guest_handover_pause_seconds_count{guest="web"} 3"#,
        #"perdure_guest_disk_read_seconds_total{guest="web",disk="root"} 1.5"#,
        #"perdure_guest_disk_write_seconds_total{guest="web",disk="root"} 0.000000001"#,
        #"perdure_guest_disk_flush_seconds_total{guest="web",disk="root"} 0"#,
    ])
    func sample(line: String) { #expect(MetricsPageTests.page.split(separator: "\n").contains(Substring(line))) }

    /// What is not known of a guest is left out, and not zero.
    @Test func guestThatIsOff() {
        #expect(MetricsPageTests.page.split(separator: "\n").filter { $0.contains("guest=\"off\"") }.count == 1)
    }

    @Test func labelsAreEscaped() {
        var metrics = MetricsPageTests.metrics
        metrics.qemuVersion = "a\"b\\c\nd"
        let page = MetricsPage.text([MetricsPage.Guest(name: "web", metrics: metrics)])
        #expect(page.contains(#"version="a\"b\\c\nd""#))
    }

    @Test(.enabled(if: Promtool.path != nil, "promtool is not there"))
    func promtoolHasNothingToSay() throws {
        #expect(try Promtool.run(["check", "metrics"], input: MetricsPageTests.page) == "")
        let nothing = MetricsPage.text([])
        #expect(try Promtool.run(["check", "metrics"], input: nothing) == "")
    }

    @Test(.enabled(if: Promtool.path != nil, "promtool is not there"))
    func alertRulesDoWhatTheySay() throws {
        let rules = Promtool.monitoring.appending(path: "perdure.rules.test.yml").path()
        #expect(try Promtool.run(["test", "rules", rules], input: "").contains("SUCCESS"))
    }

    /// What rules and the dashboard ask for is there.
    @Test(arguments: ["perdure.rules.yml", "perdure-dashboard.json"])
    func namesOfMetrics(file: String) throws {
        let text = try String(contentsOf: Promtool.monitoring.appending(path: file), encoding: .utf8)
        let families = Set(MetricsPageTests.page.matches(of: /(?m)^# TYPE ([a-z_]+)/).map { String($0.1) })
        let names = Set(text.matches(of: /perdure_[a-z_]+/).map { String($0.0) })
        #expect(names.count > 5)
        for name in names {
            #expect(
                families.contains(name) || families.contains(name.replacingOccurrences(of: "_bucket", with: "")),
                "\(name)"
            )
        }
    }

    @Test func dashboardIsJSON() throws {
        let data = try Data(contentsOf: Promtool.monitoring.appending(path: "perdure-dashboard.json"))
        let dashboard = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let panels = try #require(dashboard["panels"] as? [[String: Any]])
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        for panel in panels { #expect(panel["targets"] != nil || panel["type"] as? String == "row") }
    }

    @Test(arguments: [(0, 6, "0"), (1, 6, "0.000001"), (1_000_000, 6, "1"), (10, 1, "1"), (123, 0, "123")])
    func seconds(value: Int, digits: Int, text: String) { #expect(MetricsPage.seconds(value, digits: digits) == text) }
}

/// The judge of formats and rules, which comes with Prometheus.
enum Promtool {
    static let monitoring = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../packaging/monitoring").standardized

    static let path: String? = {
        let cache = ProcessInfo.processInfo.environment["PERDURE_TEST_CACHE"] ?? "/var/cache/perdure-tests"
        return ["/usr/bin/promtool", "\(cache)/promtool"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// What it says to both of its outputs.
    static func run(_ arguments: [String], input: String) throws -> String {
        let file = FileManager.default.temporaryDirectory.appending(path: "promtool-\(UUID())")
        try input.write(to: file, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let output = Pipe()
        let process = Process()
        process.executableURL = URL(filePath: try #require(path))
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: file)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(said)")
        return said
    }
}
