import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Numbered streams in both directions between the guest and a peer on the host's side of a bridge.
    @Suite struct NetworkTests {
        private static let handovers = 20

        /// No packet is lost by 20 handovers, one that is undone, a rehearsal and a killed supervisor: with one queue, and
        /// with several. What user networking forwards to the guest leads there after each.
        @Test func tapsLoseNothing() async throws {
            try await withBootedSystem { system in
                for number in 0...1 {
                    try await Bridge.make("br\(number)", "10.77.\(number).1/24", on: system)
                    try await Bridge.startPeer("10.77.\(number).1", every: [1000, 5000][number], on: system)
                }
                let guest = try await RunningGuest(Self.plan, on: system)
                for number in 0...1 { try await guest.console.wait(for: "network=\(number) tcp_received=") }
                #expect(try await Bridge.interfaces(on: system) == ["br0", "br1", "lo", "tap-wide", "tap0"])
                try await guest.crossHandovers(Self.handovers) { try await guest.expectForward() }
                for number in 0...1 { try await expectNothingLost(guest, number, peer: "10.77.\(number).1") }
                try await guest.expectForward()
                let status = try await guest.expectGuestIntact()
                #expect(status.generation >= Self.handovers + 1)
                #expect(try await Bridge.interfaces(on: system) == ["br0", "br1", "lo", "tap-wide", "tap0"])
                try await mended(guest)
                try await refused(on: system)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                try await guest.console.wait(for: "perdure-guest powering off")
                #expect(try await Bridge.interfaces(on: system) == ["br0", "br1", "lo"])
            }
        }

        /// The same on an interface of the host that the guest has an address of its own on. What has been made for it is
        /// found to be gone, made anew, and removed with the guest; and what can't be made is refused.
        @Test func macvtapLosesNothing() async throws {
            try await withBootedSystem { system in
                let commands = """
                    ip link add up0 type veth peer name lan0 && ip address add 10.77.2.1/24 dev lan0 &&
                    ip link set up0 up && ip link set lan0 up
                    """
                try await system.run(["sh", "-c", commands])
                try await Bridge.startPeer("10.77.2.1", on: system)
                var plan = GuestPlan(diskFormat: nil)
                plan.sections = [
                    "[CPU]", "Count=2", "[Network edge]", "Type=macvtap", "Parent=up0", "Interface=edge",
                ]
                plan.queues = 1
                plan.options.append("networks=10.77.2.2/10.77.2.1")
                let guest = try await RunningGuest(plan, on: system)
                try await guest.console.wait(for: "network=0 tcp_received=")
                let interfaces = try await Bridge.interfaces(on: system)
                #expect(interfaces.count == 5 && interfaces.contains { $0.hasPrefix("pm") }, "\(interfaces)")
                try await guest.crossHandovers(Self.handovers)
                try await expectNothingLost(guest, 0, peer: "10.77.2.1")
                try await guest.expectGuestIntact()
                #expect(try await Bridge.interfaces(on: system) == interfaces)
                try await mendedOnParent(guest, uplink: try #require(interfaces.first { $0.hasPrefix("pm") }))
                plan.sections.append("Mode=passthru")
                try await plan.write(to: system)
                try await guest.perdure("upgrade")
                let uplinks = try await system.run(["ip", "-details", "link", "show", "type", "macvlan"]).stdout
                #expect(
                    uplinks.contains("macvlan mode passthru")
                        && uplinks.contains("alias perdure guest=web network=edge")
                )
                try await streamsGoOn(guest)
                try await refusedOnParent(on: system)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                #expect(try await Bridge.interfaces(on: system) == ["lan0", "lo", "up0"])
            }
        }

        private func mendedOnParent(_ guest: RunningGuest, uplink: String) async throws {
            try await guest.system.run(["ip", "link", "delete", uplink])
            let check = try await guest.perdure("check", "--handover").stdout
            #expect(check.contains("[network-moved]"), "\(check)")
            try await guest.perdure("upgrade")
            let after = try await guest.perdure("check", "--handover").stdout
            #expect(!after.contains("[network-"), "\(after)")
            try await streamsGoOn(guest)
        }

        private func streamsGoOn(_ guest: RunningGuest) async throws {
            let before = try await Bridge.traffic("10.77.2.1", on: guest.system)
            try await guest.system.waitUntil("the streams to go on") {
                let now = try await Bridge.traffic("10.77.2.1", on: guest.system)
                return now.tcpReceived > before.tcpReceived + 100_000 && now.udpReceived > before.udpReceived + 100
            }
        }

        private func refusedOnParent(on system: BootedSystem) async throws {
            var plan = GuestPlan(name: "other", diskFormat: nil)
            plan.sections = [
                "[Network a]", "Type=macvtap", "Parent=eth9", "[Network b]", "Type=macvtap", "Parent=lo", "[Network c]",
                "Type=macvtap", "Parent=up0", "Mode=passthru", "MTU=9000", "[Network d]", "Type=macvtap", "Parent=lan0",
            ]
            try await plan.write(to: system)
            let bridge = "ip link add br0 type bridge && ip link set lan0 master br0"
            try await system.run(["sh", "-c", bridge])
            let before = try await Bridge.interfaces(on: system)
            try await system.run(["systemctl", "start", plan.unit], check: false)
            let id = JournalMessage.startFailed.rawValue
            let entries = try await system.journal("MESSAGE_ID=\(id)", "PERDURE_GUEST=\(plan.name)")
            let reason = entries.last?["PERDURE_REASON"] ?? ""
            let problems = [
                "there is no interface 'eth9', which [Network a] names",
                "the interface 'lo', which [Network b] names, has no Ethernet addresses",
                "'up0' takes packets of 1500 bytes, and [Network c] has MTU=9000",
                "[Network c] would have 'up0' for itself by Mode=passthru, but 'pm",
                "the interface 'lan0', which [Network d] names, belongs to 'br0'",
            ]
            for problem in problems { #expect(reason.contains(problem), "\(reason)") }
            #expect(try await Bridge.interfaces(on: system) == before)
            try await system.run(["ip", "link", "delete", "br0"])
        }

        private static let plan: GuestPlan = {
            var plan = GuestPlan(diskFormat: nil)
            plan.sections = [
                "[CPU]", "Count=2", "[Network lan]", "Bridge=br0", "Interface=tap0", "[Network wide]", "Bridge=br1",
                "Interface=tap-wide", "Queues=2", "[Network nat]", "Type=user", "Forward=tcp:2222:7007",
            ]
            plan.queues = 3
            plan.options.append("networks=10.77.0.2/10.77.0.1,10.77.1.2/10.77.1.1/5000,10.0.2.15")
            return plan
        }()

        /// What somebody has done to the guest's interfaces is found, and a handover mends it.
        private func mended(_ guest: RunningGuest) async throws {
            try await guest.system.run(["ip", "link", "delete", "tap0"])
            try await guest.system.run(["ip", "link", "set", "tap-wide", "nomaster"])
            let check = try await guest.perdure("check", "--handover").stdout
            for finding in ["network-gone", "network-moved", "connections-cut"] {
                #expect(check.contains("[\(finding)]"))
            }
            try await guest.perdure("upgrade")
            let after = try await guest.perdure("check", "--handover").stdout
            #expect(!after.contains("[network-"))
            // TCP sends again what was lost meanwhile.
            let before = try await Bridge.traffic("10.77.0.1", on: guest.system)
            try await guest.system.waitUntil("the streams to go on") {
                let now = try await Bridge.traffic("10.77.0.1", on: guest.system)
                return now.tcpReceived > before.tcpReceived + 100_000 && now.udpReceived > before.udpReceived + 100
            }
            #expect(try await Bridge.traffic("10.77.0.1", on: guest.system).tcpErrors == 0)
            #expect(try await guest.traffic(0).tcpErrors == 0)
        }

        /// A guest whose networks the host does not have, or has given to another guest, is not started.
        private func refused(on system: BootedSystem) async throws {
            var plan = GuestPlan(name: "other", diskFormat: nil)
            plan.sections = [
                "[Network a]", "Bridge=br9", "Interface=tap0", "MACAddress=52:54:00:00:00:01", "[Network b]",
                "Bridge=lo",
                "VHost=\(FileManager.default.fileExists(atPath: "/dev/vhost-net") ? "auto" : "yes")",
            ]
            try await plan.write(to: system)
            var third = plan
            (third.name, third.sections) = ("third", ["[Network c]", "MACAddress=52:54:00:00:00:01"])
            try await third.write(to: system)
            try await system.run(["systemctl", "start", plan.unit], check: false)
            #expect(try await system.property(plan.unit, "ActiveState") == "failed")
            let id = JournalMessage.startFailed.rawValue
            let entries = try await system.journal("MESSAGE_ID=\(id)", "PERDURE_GUEST=\(plan.name)")
            let reason = entries.last?["PERDURE_REASON"] ?? ""
            let problems = [
                "there is no bridge 'br9', which [Network a] names",
                "there is an interface 'tap0' already, which [Network a] would make", "'lo' is not a bridge",
                "'52:54:00:00:00:01' of [Network a] is also an address of the guest 'third'",
            ]
            for problem in problems { #expect(reason.contains(problem), "\(reason)") }
            if plan.sections.contains("VHost=yes") { #expect(reason.contains("'/dev/vhost-net' can't be used")) }
            #expect(try await system.property(plan.unit, "NFileDescriptorStore") == "0")
        }

        private func expectNothingLost(_ guest: RunningGuest, _ network: Int, peer: String) async throws {
            // The handovers may be over sooner than the slower streams have told enough.
            try await guest.system.waitUntil("both ends of network \(network) to have had enough datagrams") {
                for traffic in [try await guest.traffic(network), try await Bridge.traffic(peer, on: guest.system)]
                where traffic.udpReceived <= 1000 { return false }
                return true
            }
            let inGuest = try await guest.traffic(network)
            let atPeer = try await Bridge.traffic(peer, on: guest.system)
            print("in the guest: \(inGuest)\nat the peer:  \(atPeer)")
            for traffic in [inGuest, atPeer] {
                #expect(traffic.tcpErrors == 0)
                #expect(traffic.udpLost == 0)
                #expect(traffic.udpDoubled == 0)
                #expect(traffic.tcpReceived > 100_000)
                #expect(traffic.udpReceived > 1000)
            }
        }
    }
}

/// What one end of the streams has counted.
struct Traffic: Decodable, CustomStringConvertible {
    var tcpReceived: Int
    var tcpErrors: Int
    var udpReceived: Int
    var udpLost: Int
    var udpDoubled: Int
    var udpReordered: Int
    /// Microseconds, the longest time without a datagram.
    var udpGap: Int

    var description: String {
        "TCP \(tcpReceived) bytes, \(tcpErrors) errors; UDP \(udpReceived) datagrams, \(udpLost) lost, "
            + "\(udpDoubled) doubled, \(udpReordered) reordered, gap \(udpGap) µs"
    }
}

/// The host's side of a guest's network.
enum Bridge {
    static func make(_ name: String, _ address: String, on system: BootedSystem) async throws {
        let commands = "ip link add \"$0\" type bridge && ip address add \"$1\" dev \"$0\" && ip link set \"$0\" up"
        try await system.run(["sh", "-c", commands, name, address])
    }

    private static func file(_ address: String) -> String { "/run/peer-\(address)" }

    /// - Parameter period: microseconds between two datagrams.
    static func startPeer(_ address: String, every period: Int = 1000, on system: BootedSystem) async throws {
        let command = ["\(GuestPlan.files)/network-peer", address, file(address), "\(period)"]
        try await system.run(["systemd-run", "--quiet", "--unit=peer-\(address)"] + command)
    }

    static func traffic(_ address: String, on system: BootedSystem) async throws -> Traffic {
        try JSONDecoder().decode(Traffic.self, from: Data(try await system.run(["cat", file(address)]).stdout.utf8))
    }

    /// Names of all interfaces, in order.
    static func interfaces(on system: BootedSystem) async throws -> [String] {
        let links = try await system.run(["ip", "-brief", "link"]).stdout
        return links.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first?.split(separator: "@").first.map(String.init)
        }.sorted()
    }
}

extension RunningGuest {
    /// The guest sends back what comes to this port.
    func expectForward() async throws {
        let talk = "exec 3<>/dev/tcp/127.0.0.1/2222 && echo hello >&3 && read -r -t 20 line <&3 && echo \"$line\""
        #expect(try await system.run(["bash", "-c", talk]).stdout == "hello\n")
    }

    /// What the guest has counted of one of its networks, by what it says next.
    func traffic(_ network: Int) async throws -> Traffic {
        try console.update()
        let prefix = "network=\(network) tcp_received="
        let seen = lines(prefix).count
        try await system.waitUntil("the guest to say what it has counted") {
            try console.update()
            return lines(prefix).count > seen
        }
        let line = try #require(lines(prefix).last)
        var numbers: [Substring: Int] = [:]
        for word in line.split(separator: " ") {
            let pair = word.split(separator: "=")
            if pair.count == 2 { numbers[pair[0]] = Int(pair[1]) }
        }
        return Traffic(
            tcpReceived: numbers["tcp_received"] ?? -1,
            tcpErrors: numbers["tcp_errors"] ?? -1,
            udpReceived: numbers["udp_received"] ?? -1,
            udpLost: numbers["udp_lost"] ?? -1,
            udpDoubled: numbers["udp_doubled"] ?? -1,
            udpReordered: numbers["udp_reordered"] ?? -1,
            udpGap: numbers["udp_gap_us"] ?? -1
        )
    }

    /// Whole lines of the console with a text in them.
    private func lines(_ text: String) -> [Substring] {
        String(decoding: console.bytes, as: UTF8.self).split(separator: "\n").dropLast().filter { $0.contains(text) }
    }
}
