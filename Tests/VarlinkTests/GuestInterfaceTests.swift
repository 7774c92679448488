import Foundation
import Testing

@testable import Varlink

/// The description says what the code does.
struct GuestInterfaceTests {
    private static let lines = GuestInterface.description.split(separator: "\n").map(String.init)

    private static func names(of keyword: String) -> [String] {
        lines.filter { $0.hasPrefix("\(keyword) ") }.map { line in
            String(line.dropFirst(keyword.count + 1).prefix { $0.isLetter || $0 == "." })
        }
    }

    @Test func methodsAndErrors() {
        #expect(Self.names(of: "interface") == [GuestInterface.name])
        #expect(Self.names(of: "method") == GuestInterface.Method.allCases.map(\.rawValue))
        #expect(Self.names(of: "error") == GuestInterface.Failure.allCases.map(\.rawValue))
        for failure in GuestInterface.Failure.allCases {
            #expect(Self.lines.contains("error \(failure.rawValue) (reason: string)"))
            #expect(failure.qualified == "io.perdure.Guest.\(failure.rawValue)")
        }
        #expect(GuestInterface.Method.getStatus.qualified == "io.perdure.Guest.GetStatus")
    }

    @Test func status() throws {
        let start = try #require(Self.lines.firstIndex(of: "type Status ("))
        let end = try #require(Self.lines[start...].firstIndex(of: ")"))
        var described: [String: String] = [:]
        for line in Self.lines[(start + 1)..<end] where !line.contains("#") {
            let parts = line.split(separator: ":").map { $0.filter { $0.isLetter || $0 == "?" } }
            described[parts[0]] = parts[1]
        }
        let status = GuestInterface.Status(
            guest: "a",
            state: "running",
            summary: "s",
            generation: 1,
            pid: 2,
            qemu: "/q",
            qemuVersion: "7.2",
            lastPauseUsec: 3,
            refusal: "r",
            since: 5,
            memory: 6,
            consoleBytes: 4,
            outdated: false,
            replacedFirmware: ["/bios"],
            step: "connect"
        )
        var stored: [String: String] = [:]
        for child in Mirror(reflecting: status).children {
            let type =
                switch child.value {
                case is String: "string"
                case is Int: "int"
                case is Bool: "bool"
                default: "\(type(of: child.value))".contains("String") ? "?string" : "?int"
                }
            let isOptional = "\(Swift.type(of: child.value))".hasPrefix("Optional")
            stored[child.label ?? ""] = isOptional && !type.hasPrefix("?") ? "?\(type)" : type
        }
        #expect(stored == described)
        let encoded = try JSONSerialization.jsonObject(with: JSONEncoder().encode(status)) as? [String: Any]
        #expect(Set(try #require(encoded).keys) == Set(described.keys))
    }

    /// Who may only watch can change nothing, and sees nothing that the guest holds.
    @Test func rights() {
        let watching = GuestInterface.Method.allCases.filter { $0.right == .watch }
        #expect(
            Set(watching) == [
                .getStatus, .prove, .pingAgent, .monitor, .getMetrics, .getMemory, .checkHandover, .getDifferences,
            ]
        )
    }

    /// polkit's policy has what is asked of it, and nothing else.
    @Test func everyRightHasAnAction() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../packaging/polkit/io.perdure.policy").standardized
        let policy = try String(contentsOf: path, encoding: .utf8)
        let actions = policy.matches(of: /<action id="([^"]+)">/).map { String($0.1) }
        #expect(Set(actions) == Set(GuestInterface.Right.allCases.compactMap(\.action)))
        #expect(actions.count == Set(actions).count)
        #expect(GuestInterface.Right.allCases.filter { $0.action == nil } == [.watch])
        #expect(policy.components(separatedBy: ">auth_admin_keep<").count - 1 == 3 * actions.count)
    }

    @Test func theFileOfTheInterfaceIsWellFormed() {
        for line in Self.lines where line.hasPrefix("method ") {
            #expect(line.contains(") -> (") && line.hasSuffix(")"))
        }
        #expect(!GuestInterface.description.contains("\t"))
    }
}
