import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// A host with many guests.
    @Suite(
        .enabled(if: ProcessInfo.processInfo.environment["PERDURE_TEST_SOAK"] != nil, "PERDURE_TEST_SOAK asks for it")
    )
    struct ManyGuestsTests {
        private static let running = 50
        private static let defined = 200

        @Test func theListIsQuick() async throws {
            try await withBootedSystem { system in
                // Their firmware finds nothing to boot, and idles.
                var plan = GuestPlan(ramMiB: 32)
                plan.kernel = nil
                for number in 0..<Self.defined {
                    plan.name = "g\(number)"
                    try await system.write(
                        plan.path,
                        plan.definition.replacing(plan.image, with: "/var/lib/guests/\(number)")
                    )
                    guard number < Self.running else { continue }
                    try await system.run(["mkdir", "-p", "/var/lib/guests"])
                    try await system.run(["truncate", "-s", "16M", "/var/lib/guests/\(number)"])
                    try await system.run(["systemctl", "start", plan.unit])
                }
                let lines = try await system.run(["perdure", "list"]).stdout.split(separator: "\n")
                #expect(lines.count == Self.defined + 1)
                #expect(lines.count { $0.contains(" running ") } == Self.running)
                try await system.waitUntil("the guests' firmware to have nothing more to do", deadline: .seconds(300)) {
                    let load = try await system.read("/proc/pressure/cpu").split(separator: " ").first {
                        $0.hasPrefix("avg10=")
                    }
                    return load.flatMap { Double($0.dropFirst(6)) }.map { $0 < 20 } ?? true
                }
                let list = try await Timing.of(["perdure", "list"], times: 20, on: system)
                let json = try await Timing.of(["perdure", "list", "--json"], times: 20, on: system)
                print("list of \(Self.defined) guests, \(Self.running) of them running: \(list); with --json \(json)")
                #expect(list.median < .milliseconds(200) && json.median < .milliseconds(200))
            }
        }
    }
}
