import Testing

@testable import Linux

struct LocationsTests {
    private func locations(_ environment: [String: String]) -> Locations {
        Locations.user(1000, home: "/home/dev") { environment[$0] }
    }

    @Test func defaults() {
        let locations = locations([:])
        #expect(locations.isUser)
        #expect(locations.definitions == ["/home/dev/.config/perdure", "/run/user/1000/perdure"])
        #expect(locations.state == "/home/dev/.local/state/perdure")
        #expect(locations.runtime == "/run/user/1000/perdure")
        #expect(locations.managerSocket == "/run/user/1000/systemd/private")
        #expect(locations.systemctl == "systemctl --user" && locations.perdure == "perdure --user")
    }

    @Test func environment() {
        let variables = ["XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"]
        let locations = locations(variables)
        #expect(locations.definitions == ["/c/perdure", "/r/perdure"])
        #expect(locations.state == "/s/perdure" && locations.runtime == "/r/perdure")
        #expect(locations.managerSocket == "/r/systemd/private")
    }

    /// As the specification has it.
    @Test(arguments: ["", "relative/path", "~/config"])
    func whatIsNoAbsolutePathIsIgnored(value: String) {
        #expect(locations(["XDG_CONFIG_HOME": value, "XDG_RUNTIME_DIR": value]) == locations([:]))
    }

    @Test func ofTheSystem() {
        #expect(Locations.current == Locations.system)
        #expect(!Locations.system.isUser && Locations.system.systemctl == "systemctl")
    }
}
