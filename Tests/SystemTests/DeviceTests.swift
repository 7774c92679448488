import Foundation
import Linux
import Synchronization
import SystemTestSupport
import Testing

extension SystemTests {
    /// A guest that uses all of its devices all the time, through handovers and a killed supervisor.
    @Suite struct DeviceTests {
        private static let handovers = 20

        @Test func devicesCrossHandovers() async throws {
            try await withBootedSystem { system in
                // Room for the balloon.
                var plan = GuestPlan(ramMiB: 192)
                plan.addDevices()
                let guest = try await RunningGuest(plan, on: system)
                try await guest.console.wait(for: "pvpanic capability=")
                let screen = try guest.screen()
                let traffic = try AgentTraffic(guest)
                for number in 1...Self.handovers {
                    try await guest.perdure("upgrade")
                    guard number == Self.handovers / 2 else { continue }
                    // With the supervisor its connections go; with a handover they don't.
                    try await traffic.end()
                    try await guest.killSupervisor()
                    try traffic.begin()
                }
                try await traffic.end()
                #expect(traffic.lines > Self.handovers)
                let status = try await guest.expectGuestIntact()
                #expect(status.generation == Self.handovers + 1)
                try await guest.expectDevicesAreUsed()
                #expect(try screen.receive(1) == nil)
                _ = try guest.screen()
                try await expectBalloonWorks(guest)
                try await expectNothingGetsIntoASavedGuest(guest)
                try await guest.expectGuestIntact()
                try await expectGuestsAlarms(guest)
            }
        }

        /// What a client says while the guest is saved is heard by the guest afterwards, once.
        private func expectNothingGetsIntoASavedGuest(_ guest: RunningGuest) async throws {
            let client = try guest.agent()
            try client.send("before\n")
            #expect(try client.line() == "before")
            try await guest.perdure("save")
            try client.send(String(repeating: "while saved ", count: 1000) + "\n")
            try await guest.perdure("exec")
            try client.send("while waiting\n")
            try await guest.perdure("load")
            #expect(try client.line()?.utf8.count == 12_000)
            #expect(try client.line() == "while waiting")
        }

        private func expectBalloonWorks(_ guest: RunningGuest) async throws {
            struct Memory: Decodable {
                let balloonBytes: Int?
            }
            let system = guest.system
            for (size, bytes) in [("160M", 160 << 20), ("192M", 192 << 20)] {
                try await system.run(["perdure", "memory", "balloon", guest.name, size])
                try await system.waitUntil("the balloon to leave the guest \(size)") {
                    let text = try await system.run(["perdure", "memory", "show", guest.name, "--json"]).stdout
                    return try JSONDecoder().decode(Memory.self, from: Data(text.utf8)).balloonBytes == bytes
                }
                // The size is the guest's from then on.
                try await guest.perdure("upgrade")
                let shown = try await system.run(["perdure", "memory", "show", guest.name]).stdout
                #expect(shown == "web: RAM main 192 MiB; the balloon leaves the guest \(bytes >> 20) MiB\n")
            }
            for size in ["193M", "16M"] {
                let refused = try await system.run(["perdure", "memory", "balloon", guest.name, size], check: false)
                #expect(refused.status == 75)
                #expect(refused.stderr.contains("can be left with 32M to 192M"))
            }
        }

        /// A panic, and then a watchdog that runs out. The guest boots anew after each.
        private func expectGuestsAlarms(_ guest: RunningGuest) async throws {
            try await guest.perdure("upgrade")
            for (number, (word, message)) in [("panic", JournalMessage.guestPanicked), ("expire", .watchdogFired)]
                .enumerated()
            {
                try guest.agent().send("\(word)\n")
                try await guest.console.wait(
                    for: "perdure-guest agent listens",
                    count: number + 2,
                    deadline: .seconds(180)
                )
                #expect(try await guest.journal(message).count == 1)
                #expect(try await guest.status().state == "running")
            }
            #expect(try await guest.journal(.watchdogFired).first?["PERDURE_ACTION"] == "reset")
        }

        /// QEMUs after 7.2. Where a guest comes from Debian 13's, these devices keep it from going to 11.1.
        @Test(.needs(.trixie, .sid)) func devicesCrossToOtherQEMUs() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(options: ["tick_ms=100"])
                plan.addDevices()
                let middle = try await system.installQEMU(of: .trixie)
                let new = try await system.installQEMU(of: .sid)
                let guest = try await RunningGuest(plan, on: system)
                let traffic = try AgentTraffic(guest)
                for qemu in [middle, new, middle, GuestPlan.realQEMU] {
                    try await guest.perdure("upgrade", "--qemu", qemu)
                    _ = try guest.screen()
                    try await guest.expectDevicesAreUsed()
                }
                try await traffic.end()
                try await guest.expectGuestIntact()
            }
        }
    }
}

extension GuestPlan {
    /// All that a guest can have once, used by it.
    mutating func addDevices() {
        sections += [
            "[RNG]", "[Balloon]", "FreePageReporting=yes", "[Watchdog]", "Action=reset", "[PVPanic]", "[Agent]",
            "[Display]",
        ]
        options += ["rng=1", "watchdog=1", "agent=1", "pvpanic=1"]
    }
}

extension RunningGuest {
    func agent() throws -> SocketClient { try SocketClient(system.hostPath("/run/perdure/\(name)/agent")) }

    /// A VNC client that has seen the guest's screen.
    func screen() throws -> SocketClient {
        let client = try SocketClient(system.hostPath("/run/perdure/\(name)/vnc"))
        let version = try client.receive(12)
        #expect(version.map { String(decoding: $0, as: UTF8.self) } == "RFB 003.008\n")
        try client.send("RFB 003.008\n")
        // One way to authenticate, which is none: the socket is root's alone.
        #expect(try client.receive(2) == [1, 1])
        try client.send("\u{1}")
        #expect(try client.receive(4) == [0, 0, 0, 0])
        // Shared with others.
        try client.send("\u{1}")
        let start = try #require(try client.receive(24))
        let name = try client.receive(Int(start[23]))
        #expect(name.map { String(decoding: $0, as: UTF8.self) } == "QEMU (\(self.name))", "\(start)")
        return client
    }

    /// Each device goes on: an error of one would have been found with the console's other errors.
    func expectDevicesAreUsed() async throws {
        try console.update()
        let text = String(decoding: console.bytes, as: UTF8.self)
        for pattern in ["rng read=", "watchdog fed="] {
            let last = text.ranges(of: pattern).last.map { text[$0.upperBound...].prefix { $0.isNumber } }
            let number = try #require(last.flatMap { Int($0) }, "\(pattern)")
            try await console.wait(for: "\(pattern)\(number + 3)")
        }
        #expect(try await journal(.watchdogFired).isEmpty)
    }
}

/// Lines to the guest's agent, each of which has to come back, in order and once, for as long as it is not ended.
final class AgentTraffic: @unchecked Sendable {
    private let guest: RunningGuest
    private let isEnded = Mutex(false)
    private var task: Task<Int, any Error>?
    private(set) var lines = 0

    init(_ guest: RunningGuest) throws {
        self.guest = guest
        try begin()
    }

    func begin() throws {
        isEnded.withLock { $0 = false }
        let client = try guest.agent()
        let first = lines
        task = Task { [self] in try await BlockingCalls.run { [self] in try exchange(with: client, from: first) } }
    }

    private func exchange(with client: SocketClient, from first: Int) throws -> Int {
        var number = first
        while !isEnded.withLock({ $0 }) {
            // Several on the way at a time, more than a queue of the guest takes at once.
            let some = (number..<(number + 8)).map { "line \($0) " + String(repeating: "x", count: 6000) }
            try client.send(some.map { $0 + "\n" }.joined())
            for line in some {
                guard try client.line() == line else {
                    throw CommandFailure(description: "the guest agent's channel has lost or doubled something")
                }
            }
            number += some.count
        }
        return number
    }

    /// Throws where something was lost.
    func end() async throws {
        isEnded.withLock { $0 = true }
        if let task { lines = try await task.value }
    }
}
