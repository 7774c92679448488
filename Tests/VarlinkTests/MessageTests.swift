import Foundation
import Testing

@testable import Varlink

struct MessageTests {
    private static func json(_ message: [UInt8]) throws -> NSDictionary {
        #expect(message.last == 0 && message.count { $0 == 0 } == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(message.dropLast())) as? NSDictionary)
    }

    @Test func encoding() throws {
        let parameters = GuestInterface.QEMUParameters(qemu: "/usr/bin/qemu")
        #expect(
            try Self.json(VarlinkMessage.call("a.b.C", parameters))
                == ["method": "a.b.C", "parameters": ["qemu": "/usr/bin/qemu"]]
        )
        #expect(try Self.json(VarlinkMessage.reply(GuestInterface.NoParameters())) == ["parameters": [:]])
        let first = try VarlinkMessage.reply(GuestInterface.NoParameters(), continues: true)
        #expect(try Self.json(first) == ["parameters": [:], "continues": true])
        #expect(
            try Self.json(VarlinkMessage.error("a.b.E", VarlinkMessage.Reason("why\0\n")))
                == ["error": "a.b.E", "parameters": ["reason": "why\0\n"]]
        )
    }

    @Test func decoding() throws {
        let call = try VarlinkMessage.decodeCall(Array(#"{"method": "a.B", "more": true, "unknown": [1]}"#.utf8))
        #expect(call.method == "a.B" && call.more == true && call.oneway == nil)
        for text in ["", "{}", "[]", #"{"method": 1}"#, #"{"method": "a.B""#, String(repeating: "[", count: 50_000)] {
            #expect(throws: (any Error).self) { try VarlinkMessage.decodeCall(Array(text.utf8)) }
        }
    }

    @Test(arguments: [#"{"method": "a.B"}"#, #"{"method": "a.B", "parameters": {}}"#])
    func parametersMayBeAbsent(text: String) throws {
        let message = Array(text.utf8)
        #expect(try VarlinkMessage.parameters(message, as: GuestInterface.QEMUParameters.self).qemu == nil)
        #expect(throws: (any Error).self) { try VarlinkMessage.parameters(message, as: VarlinkMessage.Reason.self) }
    }

    @Test func parametersOfWrongType() throws {
        for text in [#"{"parameters": {"qemu": 7}}"#, #"{"parameters": []}"#, #"{"parameters": "x"}"#] {
            #expect(throws: (any Error).self) {
                try VarlinkMessage.parameters(Array(text.utf8), as: GuestInterface.QEMUParameters.self)
            }
        }
    }
}
