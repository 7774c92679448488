import GuestDefinition
import Linux
import Testing

struct NetworkTests {
    private static func networks(_ guest: String = "demo", machine: String? = nil) throws -> [Network] {
        var files = MemoryFiles(["/etc/perdure/\(guest).guest": minimalText + "[Network lan]\n[Network dmz]\n"])
        if let machine { files.entries["/etc/machine-id"] = .file(Array("\(machine)\n".utf8)) }
        return try DefinitionLoader(files: files).load(guest).0.hardware.networks
    }

    /// DHCP servers and firewalls know these for years.
    @Test func defaultsAreAlwaysTheSame() throws {
        let networks = try Self.networks(machine: "0123456789abcdef0123456789abcdef")
        #expect(networks.map(\.mac) == ["52:1a:71:96:20:c9", "52:d2:f4:99:36:72"])
        #expect(networks.map(\.interface) == ["pd55d2a8faecb3", "pd3f83d3eab182"])
        #expect(networks.map(\.type) == [.tap, .tap])
    }

    /// What the kernel has as macvtaps has two interfaces.
    @Test func aMacvtapHasAnInterfaceOnItsParent() throws {
        let text = minimalText + "[Network lan]\nType=macvtap\nParent=eth0\n"
        let network = try #require(try load(text).hardware.networks.first)
        #expect(network.type == .tap && network.interface == "pd55d2a8faecb3" && network.bridge == nil)
        #expect(network.uplink == Network.Uplink(parent: "eth0", mode: .bridge, interface: "pm55d2a8faecb3"))
    }

    @Test func addressesDifferBetweenHostsAndGuests() throws {
        let all = try [Self.networks(), Self.networks(machine: "a"), Self.networks(machine: "b"), Self.networks("web")]
        let addresses = all.flatMap { $0.map(\.mac) }
        #expect(Set(addresses).count == addresses.count)
        // Locally administered, of one machine, and of the length that Linux takes.
        #expect(addresses.allSatisfy { $0.hasPrefix("52:") && $0.utf8.count == 17 })
        // One host has no two guests of one name.
        #expect(Set(all.flatMap { $0.map(\.interface) }).count == 4)
        #expect(all.allSatisfy { $0.allSatisfy { $0.interface.utf8.count <= 15 } })
    }

    @Test func forwardsAreOfTheHostAloneByDefault() throws {
        let text = minimalText + "[Network nat]\nType=user\nForward=tcp:2222:22\tudp:192.0.2.1:53:5353"
        let network = try #require(try load(text).hardware.networks.first)
        #expect(network.forwards.map(\.rule) == ["tcp:127.0.0.1:2222-:22", "udp:192.0.2.1:53-:5353"])
        #expect(network.interface == "")
    }
}
