import SystemTestSupport
import Testing

extension SystemTests {
    /// What the manual's examples tell the reader to type does what they say.
    @Suite struct ManualExampleTests {
        /// These go on until they are ended.
        private static let endless = ["perdure watch"]

        @Test func everyExampleRuns() async throws {
            try await withBootedSystem { system in
                var plan = GuestPlan(ramMiB: 2048, testedMiB: 8, diskFormat: "qcow2", options: ["dimm=1"])
                plan.sections += ["[Balloon]", "[Memory]", "MaximumSize=8G"]
                let guest = try await RunningGuest(plan, on: system)
                let service = try ManualPage("perdure@.service.8").commands
                let fields = try ManualPage("perdure-journal-fields.7").commands
                let main = try ManualPage("perdure.1").commands
                #expect(service.count >= 4 && fields.count >= 3 && main.count >= 18)
                // The last ones are the guest's end.
                try await run(service + fields + main.dropLast(2), of: guest)
                try await guest.expectGuestIntact()
                // Another page has had it shown by machined.
                try await system.run(["systemctl", "disable", "perdure-machine@web.service"])
                try await run(main.suffix(2), of: guest)
                try await guest.expectGone()
                #expect(try await system.run(["test", "-e", plan.image], check: false).status == 1)
            }
        }

        private func run(_ commands: [String], of guest: RunningGuest) async throws {
            for command in commands {
                let isEndless = Self.endless.contains { command.hasPrefix($0) }
                let typed = isEndless ? "timeout 2 \(command); [ $? -eq 124 ]" : command
                // An editor that leaves the text as it is.
                let shell = "export EDITOR=true; \(typed)"
                let output = try await guest.system.run(["sh", "-c", shell], deadline: .seconds(180), check: false)
                #expect(output.status == 0, "'\(command)': \(output)")
            }
        }
    }
}
