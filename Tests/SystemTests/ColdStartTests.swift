import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// Guests that can't be started: the unit says why and fails, and nothing of the guest is left.
    @Suite struct ColdStartTests {
        @Test func startThatCannotBeIsRefused() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(on: system)
                try await guest.systemctl("stop")
                try await guest.expectGone()
                let original = guest.plan

                try await system.write(original.path, "[Guest]\nAccelerator=tgc\nMachin=q35\n[RAM main]\nSize=12X\n")
                try await expectNoStart(guest, status: 78, reason: "/etc/perdure/web.guest:2:13: ")
                try await expectNoStart(guest, status: 78, reason: "/etc/perdure/web.guest:5:6: ")
                try await system.run(["rm", original.path])
                try await expectNoStart(guest, status: 78, reason: "there is no such definition in")
                try await guest.define { $0.qemu = "/usr/bin/absent" }
                try await expectNoStart(guest, status: 78, reason: "'/usr/bin/absent' does not exist")
                for wrapper in [QEMUWrapper.ends, .endsAsVMProcess] {
                    let path = try await wrapper.install(on: system)
                    try await guest.define { $0.qemu = path }
                    try await expectNoStart(guest, status: 1, reason: "farewell")
                }
                try await guest.define {
                    $0 = original
                    $0.machine = "pc-q35-99.0"
                }
                try await expectNoStart(guest, status: 1, reason: "no machine type 'pc-q35-99.0'")
                try await guest.define {
                    $0 = original
                    $0.ramMiB = 1 << 20
                }
                try await expectNoStart(guest, status: 1, reason: "the host has")
                try await guest.define { $0 = original }
                try await guest.dropIn("[Service]\nFileDescriptorStoreMax=2\n")
                try await expectNoStart(guest, status: 1, reason: "FileDescriptorStoreMax=")

                try await guest.removeDropIn()
                try await guest.startAgain()
                try await guest.expectGuestIntact()
            }
        }

        private func expectNoStart(
            _ guest: RunningGuest,
            status: Int,
            reason: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let image = try Data(contentsOf: URL(fileURLWithPath: guest.system.hostPath(guest.plan.image)))
            #expect(try await guest.systemctl("start", check: false).status != 0, sourceLocation: sourceLocation)
            try await guest.expectGone(result: "exit-code", sourceLocation: sourceLocation)
            let properties = try await guest.properties("ExecMainStatus", "NRestarts")
            #expect(properties == ["ExecMainStatus": "\(status)", "NRestarts": "0"], sourceLocation: sourceLocation)
            let failure = try await guest.journal(.startFailed).last
            #expect(failure?["PERDURE_REASON"]?.contains(reason) == true, sourceLocation: sourceLocation)
            let now = try Data(contentsOf: URL(fileURLWithPath: guest.system.hostPath(guest.plan.image)))
            #expect(now == image, sourceLocation: sourceLocation)
        }
    }
}
