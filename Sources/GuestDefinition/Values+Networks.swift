extension Values {
    /// What Linux takes for a name, and no shell or rule set has to quote: 1 to 15 characters.
    static func isInterfaceName(_ text: String) -> Bool {
        (1...15).contains(text.utf8.count) && text != "." && text != ".."
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    static func interface(_ text: String) throws(ValueProblem) -> String {
        guard isInterfaceName(text) else {
            throw ValueProblem(
                "\(quoted(text)) is not a name for an interface; use at most 15 letters, digits, '_', '.' and '-'"
            )
        }
        return text
    }

    static func macAddress(_ text: String) throws(ValueProblem) -> String {
        let octets = text.split(separator: ":", omittingEmptySubsequences: false).map { group -> UInt8? in
            guard group.utf8.count == 2, group.unicodeScalars.allSatisfy({ $0.properties.isASCIIHexDigit }) else {
                return nil
            }
            return UInt8(group, radix: 16)
        }
        guard octets.count == 6, let first = octets[0], !octets.contains(nil) else {
            throw ValueProblem("\(quoted(text)) is not a MAC address; write it as in '52:54:00:12:34:56'")
        }
        guard first & 1 == 0, octets.contains(where: { $0 != 0 }) else {
            throw ValueProblem("\(quoted(text)) is not the address of one machine; its first octet must be even")
        }
        return text.lowercased()
    }

    /// `tcp:2222:22`, `udp:192.0.2.1:53:53`, … with white space between them.
    static func forwards(_ text: String) throws(ValueProblem) -> [PortForward] {
        let words = text.split { $0 == " " || $0 == "\t" }
        guard words.count <= Network.mostForwards else {
            throw ValueProblem("these are \(words.count) ports, but at most \(Network.mostForwards) can be forwarded")
        }
        var forwards: [PortForward] = []
        for word in words { forwards.append(try forward(String(word))) }
        return forwards
    }

    private static func forward(_ word: String) throws(ValueProblem) -> PortForward {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (3...4).contains(parts.count), let transport = PortForward.Transport(rawValue: parts[0]) else {
            throw ValueProblem(
                "\(quoted(word)) does not forward a port; write it as in 'tcp:2222:22' or 'tcp:0.0.0.0:8080:80'"
            )
        }
        let address = parts.count == 4 ? parts[1] : "127.0.0.1"
        let numbers = address.split(separator: ".", omittingEmptySubsequences: false)
        let isAddress =
            numbers.count == 4
            && numbers.allSatisfy { number in
                (1...3).contains(number.utf8.count)
                    && number.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                    && UInt8(number) != nil
            }
        guard isAddress else { throw ValueProblem("\(quoted(address)) in \(quoted(word)) is not an IPv4 address") }
        return PortForward(
            transport: transport,
            address: address,
            port: try integer(parts[parts.count - 2], in: 1...65_535),
            guestPort: try integer(parts[parts.count - 1], in: 1...65_535)
        )
    }
}
