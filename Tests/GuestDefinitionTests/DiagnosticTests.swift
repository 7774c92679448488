import GuestDefinition
import Testing

struct DiagnosticTests {
    /// The diagnostics of a main file that need not be text.
    private func rendered(_ bytes: [UInt8]) -> [String] {
        let found: [Diagnostic]
        do {
            found = try loadWithWarnings("") { $0.entries["/etc/perdure/demo.guest"] = .file(bytes) }.warnings
        } catch {
            found = error.diagnostics
        }
        return found.map { $0.rendered() }
    }

    private func rendered(_ text: String) -> [String] {
        rendered(Array(text.utf8))
    }

    @Test func theCaretIsBelowTheValue() {
        #expect(
            rendered(minimalText + "[RAM more]\n  Size =  12q") == [
                """
                /etc/perdure/demo.guest:6:11: '12q' is not a size; use a number with K, M, G or T
                    Size =  12q
                            ^
                """
            ]
        )
    }

    @Test func tabsStayUnderTabs() {
        #expect(
            rendered(minimalText + "[RAM more]\n\tSize=\t12q") == [
                "/etc/perdure/demo.guest:6:8: '12q' is not a size; use a number with K, M, G or T\n"
                    + "  \tSize=\t12q\n"
                    + "  \t     \t^"
            ]
        )
    }

    @Test func aValueOnAContinuationLineIsFoundThere() {
        #expect(
            rendered(minimalText + "Initrd=\\\n   /boot/none") == [
                """
                /etc/perdure/demo.guest:6:4: '/boot/none' does not exist
                     /boot/none
                     ^
                """
            ]
        )
    }

    @Test func warningsSaySo() {
        #expect(
            rendered(minimalText + "[Console]\nEnable=no\nRetain=2M") == [
                """
                /etc/perdure/demo.guest:7:8: warning: Retain= has no effect, because the console is off by Enable=no
                  Retain=2M
                         ^
                """
            ]
        )
    }

    @Test func anErrorShowsAllOfThem() {
        let error = #expect(throws: DefinitionError.self) {
            try load("[RAM main]\nSize=1x\n[Kernel]\nImage=/none\n")
        }
        #expect(
            error?.description == """
                /etc/perdure/demo.guest:2:6: '1x' is not a size; use a number with K, M, G or T
                  Size=1x
                       ^
                /etc/perdure/demo.guest:4:7: '/none' does not exist
                  Image=/none
                        ^
                """
        )
    }

    @Test func longLinesAreCutAroundTheColumn() {
        let padding = String(repeating: " ", count: 200)
        let found = rendered(minimalText + "[CPU]\nCount=\(padding)x" + String(repeating: "y", count: 200))
        let shown = String(repeating: " ", count: 60)
        #expect(
            found == [
                "/etc/perdure/demo.guest:6:207: 'x\(String(repeating: "y", count: 79))…' is not a number\n"
                    + "  \(shown)x\(String(repeating: "y", count: 49))\n"
                    + "  \(shown)^"
            ]
        )
    }

    @Test func bytesThatAreNotUTF8AreReportedInTheirPlace() {
        let text =
            Array((minimalText + "[Guest]\nDescription=a").utf8) + [0xff, 0xfe] + Array("b\n[CPU]\nCount=x".utf8)
        #expect(
            rendered(text) == [
                """
                /etc/perdure/demo.guest:6:14: this is not UTF-8; save the file in that encoding
                  Description=a��b
                               ^
                """,
                """
                /etc/perdure/demo.guest:8:7: 'x' is not a number
                  Count=x
                        ^
                """,
            ]
        )
    }

    @Test func damagedHeadersAndKeysCauseNoFollowUp() {
        let text =
            [UInt8]("[RAM ma".utf8) + [0xc3] + [UInt8]("n]\nSize=1G\n[Kernel]\nImage=/boot/".utf8) + [0xe9, 0x0a]
        #expect(
            rendered(text).map { $0.prefix { $0 != "\n" } } == [
                "/etc/perdure/demo.guest:1:8: this is not UTF-8; save the file in that encoding",
                "/etc/perdure/demo.guest:4:13: this is not UTF-8; save the file in that encoding",
            ]
        )
    }

    @Test func nothingThatSteersATerminalIsPrinted() {
        let text = minimalText + "[CPU]\nCount=\u{1B}[2J\nMod\u{202E}el=\u{9B}\u{200B}x\nModel=\u{2066}x"
        for line in rendered(text) {
            #expect(line.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
            #expect(line.unicodeScalars.allSatisfy { $0.properties.generalCategory != .format })
        }
        #expect(rendered(text).count == 3)
    }
}
