import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What a VM process can reach that is not QEMU any more, beside another guest and its supervisor.
    @Suite struct IsolationTests {
        @Test func vmProcessReachesNothing() async throws {
            try await withBootedSystem { system in
                let other = try await RunningGuest(GuestPlan(name: "other"), on: system)
                try await system.run(["chmod", "600", other.plan.image])
                let vm = try #require(try await other.status().pid)
                let user = try user(of: try #require(try other.vmProcesses().first))
                try await listen(on: system)
                try await Exposure.expectDocumented(on: system)

                let standIn = StandIn(other: other, vm: vm)
                try await standIn.install()
                let plan = GuestPlan(name: "web", qemu: StandIn.path, handover: ["PrepareTimeoutSec=2min"])
                try await plan.write(to: system)
                try await system.run(["systemctl", "start", "--no-block", plan.unit])
                let (process, results) = try await results(on: system)
                #expect(results.map(\.name) == standIn.names)
                #expect(results.filter { $0.isPossible }.map(\.name) == [])
                #expect(try self.user(of: process) != user)

                try await expectRootCould(standIn, on: system)
                try await system.run(["systemctl", "kill", "--signal=KILL", "perdure-web-g1.scope"])
                try await other.expectGuestIntact(pid: vm)
                try await other.perdure("upgrade")
                #expect(try self.user(of: try #require(try other.vmProcesses().first)) == user)
                try await other.expectGuestIntact()
            }
        }

        private struct Result {
            let name: String
            let isPossible: Bool
        }

        /// A service of the host that anybody may connect to.
        private func listen(on system: BootedSystem) async throws {
            let script = #"""
                use Socket;
                socket(my $tcp, AF_INET, SOCK_STREAM, 0); bind($tcp, sockaddr_in(\#(StandIn.port), INADDR_ANY)) or die;
                socket(my $unix, AF_UNIX, SOCK_STREAM, 0); bind($unix, sockaddr_un("\0perdure-test")) or die;
                listen($_, 9) or die for $tcp, $unix;
                exec 'systemd-notify', '--ready', '--pid=parent' unless fork;
                sleep;
                """#
            let properties = ["--property=Type=notify", "--property=NotifyAccess=all"]
            try await system.run(["systemd-run", "--quiet"] + properties + ["perl", "-e", script])
        }

        /// What the stand-in has tried, once it has tried all.
        private func results(on system: BootedSystem) async throws -> (SystemProcess, [Result]) {
            var found: (SystemProcess, String)?
            try await system.waitUntil("the stand-in to have tried all", deadline: .seconds(90)) {
                let all = try system.processes().filter { $0.cgroup.hasSuffix("/perdure-web-g1.scope") }
                guard let process = all.first,
                    let log = process.arguments.compactMap({ $0.firstMatch(of: #/logfile=/proc/self/(fd/\d+)/#) })
                        .first,
                    let text = try? String(contentsOfFile: "/proc/\(process.hostPID)/\(log.1)", encoding: .utf8)
                else { return false }
                found = (process, text)
                return text.hasSuffix("done\n")
            }
            let (process, text) = try #require(found)
            return (process, parse(text))
        }

        private func parse(_ text: String) -> [Result] {
            text.split(separator: "\n").dropLast().map { line in
                let words = line.split(separator: ":", maxSplits: 2)
                return Result(
                    name: words.dropFirst().first.map { $0.trimmingCharacters(in: .whitespaces) } ?? "",
                    isPossible: words[0] != "refused"
                )
            }
        }

        /// What is tried is there, and the attempts are sound: for root they succeed.
        private func expectRootCould(_ standIn: StandIn, on system: BootedSystem) async throws {
            let run = "unshare --mount \(StandIn.path) --once logfile=/proc/self/fd/9 9>/run/stand-in.log"
            // As a service, since this test's own processes have fewer capabilities.
            try await system.run(["systemd-run", "--quiet", "--wait", "--property=LimitCORE=1M", "sh", "-c", run])
            let results = parse(try await system.read("/run/stand-in.log"))
            #expect(results.map(\.name) == standIn.names)
            // The test system may have no such devices.
            let devices = [
                "open /dev/kvm without Accelerator=kvm", "open /dev/mem", "open /dev/net/tun, which everybody may",
                "open /dev/fuse, which everybody may",
            ]
            let impossible = results.filter { !$0.isPossible }.map(\.name)
            #expect(Set(impossible).isSubset(of: devices), "\(impossible)")
        }

        private func user(of process: SystemProcess) throws -> UInt32 {
            let status = try String(contentsOfFile: "/proc/\(process.hostPID)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Uid:") })
            let users = Set(line.split(whereSeparator: \.isWhitespace).dropFirst().compactMap { UInt32($0) })
            let user = try #require(users.first)
            #expect(users.count == 1 && user >= 0x7000_0000 && user < 0x7001_0000, "\(line)")
            return user
        }
    }
}
