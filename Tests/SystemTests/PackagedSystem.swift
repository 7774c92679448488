import Foundation
import SystemTestSupport
import Testing

/// Boots a system with the Debian package of what is to be tested.
/// - Parameter body: gets what was installed, and the same with a higher version.
func withPackagedSystem(
    over tree: DebianTree?,
    _ body: (BootedSystem, _ packages: (installed: DebianPackage, next: DebianPackage)) async throws -> Void
) async throws {
    let package = try #require(try DebianPackage.built())
    try await withTemporaryDirectory { directory in
        let next = try await package.successor(in: directory)
        try await withBootedSystem(over: tree, installing: "") { system in
            // Images for containers forbid that services are started; this is none.
            try await system.run(["rm", "-f", "/usr/sbin/policy-rc.d"])
            try await system.install(package)
            #expect(try await system.installedVersion(of: "perdure") == package.version)
            try await body(system, (package, next))
        }
    }
}

func withTemporaryDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("perdure-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try await body(directory.path)
}

extension RunningGuest {
    func waitForGeneration(_ generation: Int) async throws {
        try await system.waitUntil("VM process \(generation)") {
            let status = try await status()
            return status.state == "running" && status.generation == generation
        }
    }

    /// Waits for what dpkg's trigger has started, and expects that it has handed the guest over when dpkg had ended.
    /// - Parameter isLast: false where the last handover was not the trigger's.
    func expectUpgradedByTrigger(
        to generation: Int,
        isLast: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await waitForGeneration(generation)
        try await system.waitUntil("the rolling upgrade to end") {
            try await system.property("perdure-upgrade.service", "ActiveState") == "inactive"
        }
        #expect(try await expectGuestIntact().outdated == false, sourceLocation: sourceLocation)
        let failed = try await system.run(["systemctl", "list-units", "--failed", "--no-legend", "perdure*"])
        #expect(failed.stdout == "", sourceLocation: sourceLocation)
        guard isLast else { return }
        let begin = try #require(try await journal(.handoverBegan).last?["__REALTIME_TIMESTAMP"].flatMap { Double($0) })
        let dpkg = try #require(
            Double(try await system.run(["stat", "-c", "%.6Y", "/var/log/dpkg.log"]).stdout.trimmed)
        )
        #expect(begin / 1_000_000 > dpkg, sourceLocation: sourceLocation)
    }

    /// Has needrestart restart what runs in replaced files, as it does where it is told not to ask, and returns what it did.
    @discardableResult
    func needrestart() async throws -> String {
        // Such as the test's own 'perdure console', which would end.
        let services = "push(@{$nrconf{blacklist_rc}}, qr(^run-));\n"
        try await system.write("/etc/needrestart/conf.d/test.conf", services)
        let output = try await system.run(
            ["env", "DEBIAN_FRONTEND=noninteractive", "needrestart", "-r", "a"],
            deadline: .seconds(180)
        )
        return output.stdout + output.stderr
    }
}

extension BootedSystem {
    /// Installs a package that dpkg's trigger is for, and waits until what it has started has ended.
    func installAndAwaitUpgrades(_ package: DebianPackage) async throws {
        let before = try await rollingUpgrades()
        try await install(package)
        try await waitUntil("the rolling upgrade to end") { try await rollingUpgrades() == before + 1 }
    }

    /// How often it has been through all guests.
    private func rollingUpgrades() async throws -> Int {
        try await journal("UNIT=perdure-upgrade.service", "_PID=1").filter { $0["JOB_RESULT"] == "done" }.count
    }
}

extension String {
    fileprivate var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
