import Foundation
import Linux
import SystemTestSupport
import Testing

extension SystemTests {
    /// What a VM process was told before it hung, it does when it hangs no more: after its supervisor has given it up.
    @Suite struct LateCommandTests {
        /// A save that is carried out after the guest was continued pauses it.
        @Test func aGuestThatIsPausedLateGoesOn() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                let vm = try #require(try guest.vmProcesses().first)
                let monitor = try Monitor(of: vm)
                let file = try MemoryFile.create("late", growth: .allowed)
                for round in 1...3 {
                    try monitor.send(#"{"execute":"getfd","arguments":{"fdname":"late"},"id":"late"}"#, file)
                    try monitor.send(#"{"execute":"migrate","arguments":{"uri":"fd:late"},"id":"late"}"#)
                    try await system.waitUntil("the guest to be continued") {
                        try await guest.journal(.rolledBack).count == round
                    }
                    let status = try await guest.expectGuestIntact(pid: vm.pid)
                    #expect(status.generation == 1)
                }
                #expect(try file.size() > 0)
                try monitor.send(#"{"execute":"stop","id":"late"}"#)
                try await system.waitUntil("the guest to be continued") {
                    try await guest.journal(.rolledBack).count == 4
                }
                try await guest.expectGuestIntact(pid: vm.pid)
                try await guest.perdure("upgrade")
                try await guest.expectGuestIntact()
                #expect(try await guest.journal(.unclear).isEmpty)
            }
        }

        /// The supervisor's own end of the socket to a VM process, which that one has open, too.
        private struct Monitor {
            private let socket: Descriptor

            init(of vm: SystemProcess) throws {
                let handle = try ProcessHandle(pid: vm.hostPID)
                let theirs = vm.arguments.first { $0.hasPrefix("socket,id=qmp,fd=") }
                    .flatMap { $0.split(separator: ",").first { $0.hasPrefix("fd=") }?.dropFirst(3) }
                let numbers = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(vm.hostPID)/fd")
                let ours = numbers.first { number in
                    let path = "/proc/\(vm.hostPID)/fd/\(number)"
                    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
                    return number != theirs.map(String.init) && target?.hasPrefix("socket:") == true
                }
                socket = try handle.fetch(Int32(#require(ours)) ?? -1)
            }

            func send(_ command: String, _ file: Descriptor? = nil) throws {
                let bytes = [UInt8]("\(command)\n".utf8)
                #expect(try UnixSocket.send(bytes[...], attaching: file.map { [$0] } ?? [], to: socket) == bytes.count)
            }
        }
    }
}
