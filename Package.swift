// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// A library target with its unit tests beside it under Tests/.
func library(_ name: String, _ dependencies: [Target.Dependency] = [], testData: [String] = []) -> [Target] {
    [
        .target(name: name, dependencies: dependencies, swiftSettings: settings),
        .testTarget(
            name: "\(name)Tests",
            dependencies: [.byName(name: name)] + dependencies,
            exclude: testData,
            swiftSettings: settings
        ),
    ]
}

let fuzzTargets = ["definition", "qmp", "varlink", "ledger", "process"]

/// Their main function is libFuzzer's: they can be linked only where that is asked for, as 'make fuzz' does.
let fuzzers: [Target] =
    Context.environment["PERDURE_FUZZ"] == nil
    ? []
    : fuzzTargets.map { name in
        .executableTarget(
            name: "perdure-fuzz-\(name)",
            dependencies: ["FuzzTargets"],
            path: "Tests/Fuzz/Fuzzers/\(name)",
            swiftSettings: settings
        )
    }

let package = Package(
    name: "perdure",
    products: [.executable(name: "perdure", targets: ["perdure"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        .target(name: "CLinux"),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .executableTarget(
            name: "perdure",
            dependencies: [
                "GuestDefinition", "Linux", "Reports", "Supervisor", "Systemd", "Terminal", "Varlink",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "perdure-bench",
            dependencies: [
                "GuestDefinition", "Linux", "SystemTestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Bench",
            swiftSettings: settings
        ),
        .target(
            name: "SystemTestSupport",
            dependencies: [
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/SystemTestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "SystemTests",
            dependencies: ["Lifecycle", "Linux", "SystemTestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ManualTests",
            dependencies: [
                "GuestDefinition", "Lifecycle", "Supervisor", "SystemTestSupport", "perdure",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "FuzzTargets",
            dependencies: ["GuestDefinition", "Lifecycle", "Linux", "QMP", "Supervisor", "Varlink"],
            path: "Tests/Fuzz/Targets",
            swiftSettings: settings
        ),
        .testTarget(
            name: "FuzzTests",
            dependencies: ["FuzzTargets", "Linux"],
            path: "Tests/Fuzz/Tests",
            swiftSettings: settings
        ),
    ]
        + fuzzers
        + library("Linux", ["CLinux"])
        + library("Systemd", ["CSystemd", "Linux"])
        + library("QMP", ["Linux"])
        + library("GuestDefinition", ["Linux"], testData: ["Golden"])
        + library("Lifecycle")
        + library("Terminal")
        + library("Varlink", ["Linux"])
        + library("Supervisor", ["GuestDefinition", "Lifecycle", "Linux", "QMP", "Systemd", "Varlink"])
        + library("Reports", ["GuestDefinition", "Lifecycle", "Linux", "Supervisor", "Systemd", "Varlink"]),
    swiftLanguageModes: [.v6]
)
