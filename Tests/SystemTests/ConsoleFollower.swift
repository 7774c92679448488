import Foundation
import SystemTestSupport

/// One `perdure console NAME`, which prints the guest's console from its first byte on for as long as the guest's
/// memory file is there.
final class ConsoleFollower {
    private let system: BootedSystem
    private let file: String
    private var handle: FileHandle?
    private(set) var bytes = Data()

    init(following guest: String, of user: TestUser? = nil, in system: BootedSystem) async throws {
        self.system = system
        file = "/run/console-\(UUID().uuidString)"
        // systemd opens it only when it starts the service, which is after systemd-run has ended.
        try await system.write(file, "")
        try await system.run(
            ["systemd-run", "--quiet", "--collect"]
                + ["--property=StandardOutput=file:\(file)", "--property=StandardError=file:\(file).errors"]
                + (user.map { user in
                    ["--uid=\(user.number)", "--gid=\(user.number)"] + user.environment.map { "--setenv=\($0)" }
                } ?? []) + ["perdure"] + (user == nil ? [] : ["--user"]) + ["console", guest]
        )
    }

    /// Takes in what has come since.
    func update() throws {
        if handle == nil { handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: system.hostPath(file))) }
        while let part = try handle?.read(upToCount: 1 << 20), !part.isEmpty { bytes.append(part) }
    }

    /// The number of the last tick that is there, unchecked; 0 where there is none.
    var lastTick: UInt64 {
        guard let mark = bytes.range(of: Data("\ntick=".utf8), options: .backwards) else { return 0 }
        let digits = bytes[mark.upperBound...].prefix(while: { $0 != UInt8(ascii: " ") })
        return UInt64(String(decoding: digits, as: UTF8.self)) ?? 0
    }

    /// What the guest has said, if it has booted once and neither it nor the host has lost or changed anything.
    func verified() throws -> GuestConsole.Boot {
        try update()
        return try GuestConsole(Array(bytes)).verified()
    }

    /// What `perdure console` itself had to complain of.
    func errors() async throws -> String { try await system.read("\(file).errors") }

    func wait(for text: String, count: Int = 1, deadline: Duration = .seconds(90)) async throws {
        let wanted = Data(text.utf8)
        var searched = 0
        var found = 0
        try await system.waitUntil("'\(text)' on the guest's console", deadline: deadline) {
            try update()
            while found < count, let range = bytes.range(of: wanted, in: searched..<bytes.count) {
                found += 1
                searched = range.upperBound
            }
            if found < count { searched = max(searched, bytes.count - wanted.count) }
            return found >= count
        }
    }

    func wait(forTick tick: UInt64, deadline: Duration = .seconds(90)) async throws {
        let digits = String(tick)
        try await wait(
            for: "tick=\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)",
            deadline: deadline
        )
    }
}
