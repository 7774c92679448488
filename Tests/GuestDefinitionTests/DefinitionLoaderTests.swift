import GuestDefinition
import Testing

struct DefinitionLoaderTests {
    private func load(
        _ texts: [String: String],
        name: String = "demo",
        _ change: (inout MemoryFiles) -> Void = { _ in }
    ) throws(DefinitionError) -> GuestDefinition {
        var files = MemoryFiles(texts)
        change(&files)
        return try DefinitionLoader(files: files).load(name).0
    }

    private func problems(
        _ texts: [String: String],
        name: String = "demo",
        _ change: (inout MemoryFiles) -> Void = { _ in }
    ) -> [String] {
        do {
            _ = try load(texts, name: name, change)
            return []
        } catch {
            return error.diagnostics.map(\.description)
        }
    }

    @Test func theFirstDirectoryWins() throws {
        var texts = [
            "/usr/lib/perdure/demo.guest": minimalText + "[CPU]\nCount=3",
            "/run/perdure/demo.guest": minimalText + "[CPU]\nCount=2",
        ]
        #expect(try load(texts).hardware.cpuCount == 2)
        texts["/etc/perdure/demo.guest"] = minimalText
        let definition = try load(texts)
        #expect(definition.hardware.cpuCount == 1)
        #expect(definition.files == ["/etc/perdure/demo.guest"])
    }

    @Test func dropInsOfAllDirectoriesApplyInTheOrderOfTheirNames() throws {
        let definition = try load([
            "/usr/lib/perdure/demo.guest": minimalText,
            "/etc/perdure/demo.guest.d/10-a.conf": "[CPU]\nCount=2\nModel=max\n[RAM main]\nSize=2G",
            "/usr/lib/perdure/demo.guest.d/20-b.conf": "[CPU]\nCount=3\n[RAM extra]\nSize=32M",
            "/run/perdure/demo.guest.d/30-c.conf": "[CPU]\nCount=4",
            "/usr/lib/perdure/demo.guest.d/30-c.conf": "[CPU]\nCount=5\nModel=hidden",
            "/etc/perdure/demo.guest.d/note.txt": "not a drop-in",
            "/etc/perdure/demo.guest.d/.hidden.conf": "not a drop-in",
            "/etc/perdure/other.guest.d/99.conf": "[CPU]\nCount=9",
        ])
        #expect(definition.hardware.cpuCount == 4)
        #expect(definition.hardware.cpuModel == "max")
        #expect(
            definition.hardware.ram == [RAMBlock(id: "main", size: 2 << 30), RAMBlock(id: "extra", size: 32 << 20)]
        )
        #expect(
            definition.files == [
                "/usr/lib/perdure/demo.guest",
                "/etc/perdure/demo.guest.d/10-a.conf",
                "/usr/lib/perdure/demo.guest.d/20-b.conf",
                "/run/perdure/demo.guest.d/30-c.conf",
            ]
        )
    }

    @Test func anEmptyDropInMasksTheOneBelow() throws {
        let definition = try load([
            "/etc/perdure/demo.guest": minimalText,
            "/etc/perdure/demo.guest.d/10-a.conf": "",
            "/usr/lib/perdure/demo.guest.d/10-a.conf": "[CPU]\nCount=2",
        ])
        #expect(definition.hardware.cpuCount == 1)
        #expect(definition.files == ["/etc/perdure/demo.guest"])
    }

    @Test func aDropInCanGoBackToTheDefault() throws {
        let definition = try load([
            "/etc/perdure/demo.guest": minimalText + "[CPU]\nCount=2",
            "/etc/perdure/demo.guest.d/10-a.conf": "[CPU]\nCount=",
        ])
        #expect(definition.hardware.cpuCount == 1)
    }

    @Test func aMaskedGuestIsReportedAsSuch() {
        let found = problems(["/etc/perdure/demo.guest": "", "/usr/lib/perdure/demo.guest": minimalText])
        #expect(
            found == [
                "/etc/perdure/demo.guest: the guest 'demo' is masked by this file, which is empty or a link to "
                    + "/dev/null; remove it to unmask the guest"
            ]
        )
    }

    @Test func aMissingGuestIsReportedWithTheNearestName() {
        let others = ["/run/perdure/web-1.guest": minimalText, "/etc/perdure/mail.guest": minimalText]
        #expect(
            problems(others, name: "web1") == [
                "web1.guest: there is no such definition in '/etc/perdure', '/run/perdure', '/usr/lib/perdure'; "
                    + "did you mean the guest 'web-1'?"
            ]
        )
        #expect(
            problems(others, name: "database") == [
                "database.guest: there is no such definition in '/etc/perdure', '/run/perdure', '/usr/lib/perdure'"
            ]
        )
    }

    @Test func problemsOfAllFilesAreReportedAtOnceInReadingOrder() {
        let found = problems(
            [
                "/usr/lib/perdure/demo.guest": "[RAM main]\nSize=12q\n[CPU]\nCount=0\nNope=1\n",
                "/run/perdure/demo.guest.d/10-a.conf": "[Kernel]\nImage=/boot/none\n",
                "/etc/perdure/demo.guest.d/20-b.conf": "[Disk a]\nFormat=raw\n",
            ]
        ) {
            $0.entries["/etc/perdure/demo.guest.d/30-c.conf"] = .unusable("cannot be opened: Permission denied")
            $0.entries["/run/perdure/demo.guest.d/40-d.conf"] = .unusable("is a directory, not a file")
        }
        #expect(
            found == [
                "/usr/lib/perdure/demo.guest:2:6: '12q' is not a size; use a number with K, M, G or T",
                "/usr/lib/perdure/demo.guest:4:7: '0' is out of range; use 1 to 255",
                "/usr/lib/perdure/demo.guest:5:1: unknown key 'Nope' in [CPU]; the keys of [CPU] are 'Count', 'Model', 'Sockets', "
                    + "'Cores', 'Threads', 'Features'",
                "/run/perdure/demo.guest.d/10-a.conf:2:7: '/boot/none' does not exist",
                "/etc/perdure/demo.guest.d/20-b.conf:1:1: [Disk a] needs Image=",
                "/etc/perdure/demo.guest.d/30-c.conf: cannot be opened: Permission denied",
                "/run/perdure/demo.guest.d/40-d.conf: is a directory, not a file",
            ]
        )
    }

    @Test func aFileThatCannotBeReadIsNotPassedOver() {
        let found = problems(["/usr/lib/perdure/demo.guest": minimalText]) {
            $0.entries["/etc/perdure/demo.guest"] = .unusable("cannot be opened: Permission denied")
        }
        #expect(found == ["/etc/perdure/demo.guest: cannot be opened: Permission denied"])
    }

    @Test func aDirectoryThatCannotBeListedIsNotPassedOver() {
        let found = problems(["/etc/perdure/demo.guest": minimalText]) {
            $0.entries["/run/perdure/demo.guest.d"] = .unusable("cannot be listed: Permission denied")
        }
        #expect(found == ["/run/perdure/demo.guest.d: cannot be listed: Permission denied"])
    }

    @Test func theNumberOfDropInsIsBounded() {
        var texts = ["/etc/perdure/demo.guest": minimalText]
        for number in 0..<65 { texts["/etc/perdure/demo.guest.d/\(number).conf"] = "[CPU]\nCount=2" }
        #expect(problems(texts) == ["demo.guest.d: has 65 drop-ins, but at most 64 are read; remove some"])
    }

    @Test func theNumberOfDiagnosticsIsBounded() {
        let found = problems(["/etc/perdure/demo.guest": "[CPU]\n" + String(repeating: "a\n", count: 150)])
        #expect(found.count == 101)
        #expect(found.last == "there are 52 more problems; mend these first")
    }

    /// A guest that runs has copies of these, and only of these.
    @Test func whatHasBeenCopiedMayBeGone() throws {
        let text = """
            [RAM main]
            Size=1G
            [Firmware]
            Type=uefi
            Image=/gone/code.fd
            VariablesTemplate=/srv/template.fd
            [Kernel]
            Image=/gone/vmlinuz
            Initrd=/gone/initrd
            [CloudInit]
            UserData=/gone/user-data
            [Credential a]
            File=/gone/secret
            """
        let names = ["code.fd", "vmlinuz", "initrd", "user-data", "secret"].map { "/gone/\($0)" }
        let loader = DefinitionLoader(files: MemoryFiles(["/etc/perdure/demo.guest": text]))
        let (definition, warnings) = try loader.load("demo", copied: Set(names))
        #expect(warnings.isEmpty)
        #expect(Set(definition.hardware.startPaths) == Set(names))
        for name in names {
            let error = #expect(throws: DefinitionError.self) {
                try loader.load("demo", copied: Set(names).subtracting([name]))
            }
            #expect(error?.diagnostics.count == 1)
            #expect(error?.diagnostics.first?.message == "'\(name)' does not exist")
        }
    }

    @Test func guestsAreListedOnce() {
        var files = MemoryFiles([
            "/etc/perdure/web.guest": minimalText,
            "/usr/lib/perdure/web.guest": minimalText,
            "/run/perdure/broken.guest": "[",
            "/etc/perdure/masked.guest": "",
            "/usr/lib/perdure/masked.guest": minimalText,
            "/etc/perdure/-bad.guest": minimalText,
            "/etc/perdure/only-a-drop-in.guest.d/10.conf": minimalText,
        ])
        files.entries["/usr/lib/perdure/secret.guest"] = .unusable("cannot be opened: Permission denied")
        #expect(DefinitionLoader(files: files).list() == ["broken", "secret", "web"])
        #expect(
            DefinitionLoader(directories: ["/usr/lib/perdure"], files: files).list() == ["masked", "secret", "web"]
        )
        #expect(DefinitionLoader(directories: ["/nowhere"], files: files).list().isEmpty)
    }
}
