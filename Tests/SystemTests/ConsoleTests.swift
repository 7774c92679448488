import Foundation
import SystemTestSupport
import Testing

extension SystemTests {
    /// What is typed at a guest's console reaches the guest once and in order, whatever is replaced meanwhile.
    @Suite struct ConsoleTests {
        @Test func inputCrossesHandoversAndSupervisorsOnce() async throws {
            try await withBootedSystem { system in
                let guest = try await RunningGuest(GuestPlan(options: ["echo=1"]), on: system)
                let typist = try await Typist(at: guest)
                for _ in 0..<20 { try await guest.perdure("upgrade") }
                try await guest.killSupervisor()
                try await guest.systemctl("restart")
                // The guest has been paused and saved when it turns out that this one does not take it.
                let refusing = try await QEMUWrapper.otherMachine.install(on: system)
                for _ in 0..<3 {
                    let undone = try await guest.perdure("upgrade", "--qemu", refusing, check: false)
                    #expect(undone.status == 75 && undone.stderr.contains("does not take the guest's state"))
                    try await guest.killSupervisor()
                }
                try await guest.perdure("save")
                try await guest.killSupervisor()
                try await guest.perdure("exec")
                try await guest.perdure("load")
                try await typist.expectEachLineOnce()
                #expect(try await guest.expectGuestIntact().generation >= 26)

                try await expectTerminal(guest)
                try await guest.systemctl("stop")
                try await guest.expectGone()
            }
        }

        /// On a terminal, as `script` makes one.
        private func expectTerminal(_ guest: RunningGuest) async throws {
            // Its keys come one by one: Return is what a terminal sends for a line's end.
            let keys = #"""
                sleep 1; printf 'typed by hand\r'; sleep 1; kill -KILL $(systemctl show -P MainPID "$1"); sleep 1
                printf 'typed later\r'; sleep 1; printf '\035'; sleep 0.1; printf '\035\035'; sleep 1
                """#
            let session =
                #"before=$(stty -g); perdure console web; echo "left=$?"; test "$(stty -g)" = "$before" && echo same"#
            let script = "{ \(keys); } | timeout 60 script -qec '\(session)' /dev/null"
            let output = try await guest.system.run(["bash", "-c", script, "bash", guest.unit]).stdout
            #expect(output.contains("Ctrl-] three times within 1 s leaves it"), "\(output)")
            #expect(output.contains("left=0"), "\(output)")
            #expect(output.contains("same"), "\(output)")
            #expect(output.contains("input=typed by hand "), "\(output)")
            #expect(output.contains("input=typed later "), "\(output)")
            try await guest.console.wait(for: "input=typed later ")
        }
    }
}

/// Types numbered lines at a guest's console without a pause.
private struct Typist {
    private let guest: RunningGuest

    init(at guest: RunningGuest) async throws {
        self.guest = guest
        let type = #"""
            n=0
            { while [ ! -e /run/typist-stop ]; do n=$((n + 1)); echo "line $n of many"; sleep 0.005; done
                echo "last line $n"; } | perdure console --tail=0 "$0" >/run/typist-output
            """#
        try await guest.system.run(["systemd-run", "--quiet", "--collect", "bash", "-c", type, guest.name])
        try await guest.console.wait(for: "input=line 1 of many ")
    }

    /// Stops, and compares what the guest has said with what was typed.
    func expectEachLineOnce() async throws {
        try await guest.system.write("/run/typist-stop", "")
        try await guest.console.wait(for: "input=last line ")
        let lines = GuestConsole(Array(guest.console.bytes)).boots.last?.messages ?? []
        let typed = lines.filter { $0.hasPrefix("input=") }.map { $0.dropFirst("input=".count) }
        let count = Int(try #require(typed.last).split(separator: " ").last ?? "") ?? 0
        #expect(count > 500)
        #expect(typed.map(String.init) == (1...max(1, count)).map { "line \($0) of many" } + ["last line \(count)"])
    }
}
