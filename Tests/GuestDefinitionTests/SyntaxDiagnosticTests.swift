import GuestDefinition
import Testing

/// A definition with something wrong, and what is said about it.
struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var text: String
    var expected: [String]

    init(_ name: String, _ text: String, _ expected: [String]) {
        (testDescription, self.text, self.expected) = (name, text, expected)
    }
}

struct SyntaxDiagnosticTests {
    @Test(arguments: cases)
    func isReported(_ example: Case) {
        #expect(diagnostics(example.text) == example.expected)
    }

    static let cases: [Case] = [
        Case(
            "line is no assignment",
            minimalText + "[Guest]\nMachine q35",
            [
                "demo.guest:6:1: 'Machine q35' is no assignment; write Key=Value"
            ]
        ),
        Case(
            "no key",
            minimalText + "[Guest]\n =q35",
            [
                "demo.guest:6:2: there is no key before the '='; write Key=Value"
            ]
        ),
        Case(
            "line before any section",
            "Machine=q35\nCount=2\n" + minimalText,
            [
                "demo.guest:1:1: this line is in no section; put a header such as [Guest] above it"
            ]
        ),
        Case(
            "header without ]",
            minimalText + "[CPU\nCount=2",
            [
                "demo.guest:5:1: the section header '[CPU' has no ']' at its end"
            ]
        ),
        Case(
            "text after header",
            minimalText + "[CPU] Count=2",
            [
                "demo.guest:5:7: 'Count=2' follows the section header; begin a new line for it"
            ]
        ),
        Case(
            "empty header",
            minimalText + "[ ]",
            [
                "demo.guest:5:1: the section header names no section"
            ]
        ),
        Case(
            "unknown section, near",
            minimalText + "[Handovr]\nSaveTimeoutSec=5",
            [
                "demo.guest:5:1: unknown section 'Handovr'; did you mean 'Handover'?"
            ]
        ),
        Case(
            "unknown section, far",
            minimalText + "[Sound]\nModel=hda",
            [
                "demo.guest:5:1: unknown section 'Sound'; the sections are [Guest], [CPU], [Memory], [RAM ID], "
                    + "[Firmware], [Kernel], [Disk ID], [Network ID], [RNG], [Balloon], [Watchdog], [PVPanic], [Agent], [TPM], "
                    + "[Display], [QEMU], [CloudInit], [Credential ID], [Console], [Handover], [Stop], [Crash]"
            ]
        ),
        Case(
            "near section is understood",
            "[Ram main]\nSize=1G\n[kernel]\nImage=/boot/vmlinuz",
            [
                "demo.guest:1:1: unknown section 'Ram'; did you mean 'RAM'?",
                "demo.guest:3:1: unknown section 'kernel'; did you mean 'Kernel'?",
            ]
        ),
        Case(
            "unknown key, near",
            minimalText + "[CPU]\nCuont=2",
            [
                "demo.guest:6:1: unknown key 'Cuont' in [CPU]; did you mean 'Count'?"
            ]
        ),
        Case(
            "unknown key, other case",
            minimalText + "[CPU]\ncount=2",
            [
                "demo.guest:6:1: unknown key 'count' in [CPU]; did you mean 'Count'?"
            ]
        ),
        Case(
            "unknown key, far",
            minimalText + "[CPU]\nHotplug=yes",
            [
                "demo.guest:6:1: unknown key 'Hotplug' in [CPU]; the keys of [CPU] are 'Count', 'Model', 'Sockets', "
                    + "'Cores', 'Threads', 'Features'"
            ]
        ),
        Case(
            "key of another section",
            minimalText + "[CPU]\nMachine=q35\nImage=/srv/root.qcow2",
            [
                "demo.guest:6:1: unknown key 'Machine' in [CPU]; it belongs to [Guest]",
                "demo.guest:7:1: unknown key 'Image' in [CPU]; it belongs to [Firmware] or [Kernel] or "
                    + "[Disk ID]",
            ]
        ),
        Case(
            "near key is not missing as well",
            "[RAM main]\nSzie=1G\n[Kernel]\nImages=/boot/vmlinuz",
            [
                "demo.guest:2:1: unknown key 'Szie' in [RAM main]; did you mean 'Size'?",
                "demo.guest:4:1: unknown key 'Images' in [Kernel]; did you mean 'Image'?",
            ]
        ),
        Case(
            "key twice",
            minimalText + "[CPU]\nCount=2\nModel=max\nCount=3",
            [
                "demo.guest:8:1: 'Count=' is set twice in [CPU], first in line 6; remove one of them"
            ]
        ),
        Case(
            "key twice in the parts of a section",
            minimalText + "[CPU]\nCount=2\n[Console]\n[CPU]\nCount=2",
            [
                "demo.guest:9:1: 'Count=' is set twice in [CPU], first in line 6; remove one of them"
            ]
        ),
        Case(
            "section twice",
            minimalText + "[Disk a]\nImage=/srv/root.qcow2\nFormat=raw\n[Disk a]\nImage=/srv/data.raw\nFormat=raw",
            [
                "demo.guest:8:1: [Disk a] is here twice, first in line 5; give one of them another ID"
            ]
        ),
        Case(
            "ID missing",
            minimalText + "[RAM]\nSize=1G\n[Disk]",
            [
                "demo.guest:5:5: [RAM] needs an ID, as in [RAM main]",
                "demo.guest:7:6: [Disk] needs an ID, as in [Disk root]",
            ]
        ),
        Case(
            "ID where there is none",
            minimalText + "[CPU one]\nCount=2",
            [
                "demo.guest:5:6: [CPU] takes no ID, because there is only one; remove 'one'"
            ]
        ),
        Case(
            "ID not well-formed",
            minimalText + "[RAM Main]\nSize=1G\n[RAM 1st]\nSize=1G\n[RAM a b]\nSize=1G",
            [
                "demo.guest:5:6: 'Main' cannot be the ID of [RAM ID]; use lower-case letters, digits and '-', a "
                    + "letter first",
                "demo.guest:7:6: '1st' cannot be the ID of [RAM ID]; use lower-case letters, digits and '-', a "
                    + "letter first",
                "demo.guest:9:6: 'a b' cannot be the ID of [RAM ID]; use lower-case letters, digits and '-', a "
                    + "letter first",
            ]
        ),
        Case(
            "ID too long",
            minimalText + "[RAM a2345678901234567890123456789012]\nSize=1G\n[Disk "
                + "a23456789012345678901234567]\nImage=/srv/data.raw\nFormat=raw",
            [
                "demo.guest:5:6: 'a2345678901234567890123456789012' is too long for the ID of [RAM ID]; use at "
                    + "most 31 characters",
                "demo.guest:7:7: 'a23456789012345678901234567' is too long for the ID of [Disk ID]; use at most "
                    + "26 characters",
            ]
        ),
        Case(
            "sections missing",
            "# nothing",
            [
                "demo.guest: there is no [RAM ID] section; add one, such as [RAM main] with Size=1G",
                "demo.guest: there is nothing to boot from; add a [Disk ID] section with an installed system, or "
                    + "[Kernel] with Image=",
            ]
        ),
        Case(
            "keys missing",
            "[RAM main]\n[Kernel]\n[Disk root]",
            [
                "demo.guest:1:1: [RAM main] needs Size=",
                "demo.guest:2:1: [Kernel] needs Image=",
                "demo.guest:3:1: [Disk root] needs Format= (raw or qcow2), because QEMU could only guess it "
                    + "from data that the guest can write, which is unsafe",
                "demo.guest:3:1: [Disk root] needs Image=",
            ]
        ),
        Case(
            "required keys empty",
            "[RAM main]\nSize=\n[Kernel]\nImage=\n[Disk root]\nImage=\nFormat=",
            [
                "demo.guest:2:6: Size= is empty, but [RAM main] needs it",
                "demo.guest:4:7: Image= is empty, but [Kernel] needs it",
                "demo.guest:6:7: Image= is empty, but [Disk root] needs it",
                "demo.guest:7:8: Format= is empty, but [Disk root] needs it (raw or qcow2), because QEMU could "
                    + "only guess it from data that the guest can write, which is unsafe",
            ]
        ),
        Case(
            "control character",
            minimalText + "[Guest]\nDescription=a\u{1b}[31m\u{0}b\n[CPU]\nCou\u{0}nt=2",
            [
                "demo.guest:6:14: the control character U+001B is not allowed here; remove it",
                "demo.guest:8:4: the control character U+0000 is not allowed here; remove it",
            ]
        ),
        Case(
            "backslash at the end",
            minimalText + "[Guest]\nDescription=a\\",
            [
                "demo.guest:6:14: the '\\' joins the next line to this one, but the file ends here"
            ]
        ),
        Case(
            "white space after backslash",
            minimalText + "[Kernel]\nCommandLine=quiet \\ \n[Guest]\nMachine=q35",
            [
                "demo.guest:6:19: warning: the next line is not joined to this one, because there is white "
                    + "space after the '\\'"
            ]
        ),
    ]
}
