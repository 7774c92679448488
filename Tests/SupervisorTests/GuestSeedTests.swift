import Foundation
import GuestDefinition
import Lifecycle
import Testing

@testable import Supervisor

struct GuestSeedTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "guest-seed-\(UUID().uuidString)")

    private func write(_ name: String, _ contents: String) throws -> String {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let file = directory.appending(path: name)
        try Data(contents.utf8).write(to: file)
        return file.path
    }

    private static func hardware(_ cloudInit: CloudInit? = nil, _ credentials: [Credential]? = nil) -> GuestHardware {
        GuestHardware(
            machine: "pc-q35-7.2",
            accelerator: .tcg,
            cpuCount: 1,
            cpuModel: "qemu64-v1",
            ram: [RAMBlock(id: "main", size: 1 << 30)],
            kernel: nil,
            cloudInit: cloudInit,
            credentials: credentials
        )
    }

    @Test func metaDataIsQuoted() throws {
        let cloudInit = CloudInit(instanceID: "web", hostname: "web")
        let text = String(
            decoding: try GuestSeed.metaData(cloudInit, keys: ["ssh-ed25519 AAAA \"me\": {x"]),
            as: UTF8.self
        )
        #expect(
            text == #"{"instance-id":"web","local-hostname":"web","public-keys":["ssh-ed25519 AAAA \"me\": {x"]}"#
                + "\n"
        )
    }

    @Test func keysAreLines() throws {
        let text = "# mine\r\nssh-ed25519 AAAA me\r\n\n  \nssh-rsa BBBB\n"
        #expect(try GuestSeed.publicKeys(Array(text.utf8), path: "/k") == ["ssh-ed25519 AAAA me", "ssh-rsa BBBB"])
    }

    @Test(arguments: [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "has a private key; give the file of the public one"),
        ("ssh-ed25519\n", "has a line that is no SSH key"), ("ssh-ed25519 AA\u{1b}[31m\n", "is no SSH key"),
        ("# none\n", "has no SSH key"),
    ])
    func whatIsNoKeyIsRefused(text: String, reason: String) {
        let failure = #expect(throws: Lifecycle.Failure.self) { try GuestSeed.publicKeys(Array(text.utf8), path: "/k") }
        #expect(failure?.description.contains("'/k' ") == true)
        #expect(failure?.description.contains(reason) == true)
    }

    @Test func credentialsAreStringsOfSMBIOS() throws {
        let secret = try write("secret", "top\nsecret\0")
        let files = try GuestSeed.files(
            for: Self.hardware(nil, [Credential(id: "root", name: "passwd.plaintext-password.root", file: secret)])
        )
        #expect(
            files == [
                "credential.root": Array(
                    "io.systemd.credential.binary:passwd.plaintext-password.root=dG9wCnNlY3JldAA=".utf8
                )
            ]
        )
        try FileManager.default.removeItem(at: directory)
    }

    @Test func whatIsTooLargeIsRefused() throws {
        let large = try write("large", String(repeating: "x", count: 4097))
        #expect(throws: Lifecycle.Failure.self) {
            try GuestSeed.files(for: Self.hardware(nil, [Credential(id: "a", name: "a", file: large)]))
        }
        try FileManager.default.removeItem(at: directory)
    }

    /// By the rules of ECMA-119, read back without the writer's help.
    @Test func imageHoldsItsFilesUnderBothKindsOfNames() throws {
        let files = [("user-data", [UInt8](repeating: 7, count: 5000)), ("meta-data", [1, 2, 3]), ("empty", [])]
        let image = SeedImage(label: "cidata", files: files).bytes
        #expect(image.count.isMultiple(of: 2048))
        for (sector, type, names) in [
            (16, 1, ["EMPTY.;1", "META-DATA.;1", "USER-DATA.;1"]), (17, 2, ["empty", "meta-data", "user-data"]),
        ] {
            let descriptor = Array(image[(sector * 2048)..<((sector + 1) * 2048)])
            #expect(Array(descriptor[0..<7]) == [UInt8(type)] + Array("CD001".utf8) + [1])
            #expect(text(descriptor[40..<72], type).hasPrefix("cidata "))
            #expect(little(descriptor, 80) * 2048 == image.count)
            #expect(little(descriptor, 80) == big(descriptor, 84))
            #expect(descriptor[881] == 1)
            let root = Array(descriptor[156..<190])
            #expect(root[0] == 34)
            // The path table leads to the same directory.
            #expect(little(image, little(descriptor, 140) * 2048 + 2) == little(root, 2))
            #expect(big(image, big(descriptor, 148) * 2048 + 2) == little(root, 2))
            let found = entries(image, at: little(root, 2) * 2048)
            #expect(found.dropFirst(2).map { text($0.name[...], type) } == names)
            #expect(Array(found.dropFirst(2).map(\.contents)) == [[], [1, 2, 3], [UInt8](repeating: 7, count: 5000)])
        }
        #expect(Array(image[(18 * 2048)..<(18 * 2048 + 7)]) == [255] + Array("CD001".utf8) + [1])
    }

    private func entries(_ image: [UInt8], at start: Int) -> [(name: [UInt8], contents: [UInt8])] {
        var (found, position): ([(name: [UInt8], contents: [UInt8])], Int) = ([], start)
        while image[position] > 0 {
            let record = Array(image[position..<(position + Int(image[position]))])
            let (extent, size) = (little(record, 2), little(record, 10))
            let contents = record[25] & 2 == 0 ? Array(image[(extent * 2048)..<(extent * 2048 + size)]) : []
            found.append((Array(record[33..<(33 + Int(record[32]))]), contents))
            position += record.count
        }
        return found
    }

    private func text(_ bytes: ArraySlice<UInt8>, _ type: Int) -> String {
        type == 1 ? String(decoding: bytes, as: UTF8.self) : String(bytes: bytes, encoding: .utf16BigEndian) ?? ""
    }

    private func little(_ bytes: [UInt8], _ offset: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }

    private func big(_ bytes: [UInt8], _ offset: Int) -> Int {
        (0..<4).reduce(0) { $0 << 8 | Int(bytes[offset + $1]) }
    }
}
