import FoundationEssentials
import Lifecycle
import Supervisor
import Testing

@testable import Reports

struct GuestRecordTests {
    static let handover = [
        "MESSAGE_ID": MessageID.handoverDone.rawValue, "MESSAGE": "Guest 'web' runs in VM process 3\nx",
        "PERDURE_GUEST": "web", "PERDURE_GENERATION": "3", "PERDURE_PAUSE_USEC": "8312",
        "PERDURE_READ_DEFINITION_USEC": "1000", "PERDURE_START_VM_PROCESS_USEC": "299000",
        "PERDURE_STOP_GUEST_USEC": "700", "PERDURE_SAVE_STATE_USEC": "4100", "PERDURE_LOAD_STATE_USEC": "2900",
        "PERDURE_CONTINUE_GUEST_USEC": "400", "PERDURE_QEMU_VERSION_OLD": "7.2.22",
        "PERDURE_QEMU_VERSION_NEW": "10.0.3",
    ]

    @Test func handoverIsRead() throws {
        let record = try #require(GuestRecord(time: 5, fields: GuestRecordTests.handover))
        #expect(record.event == "handover-done")
        #expect(record.message == "Guest 'web' runs in VM process 3 x")
        #expect((record.guest, record.generation, record.pause) == ("web", 3, 8312))
        #expect(record.phases.map(\.step.rawValue).first == "read-definition")
        #expect(record.phases.map(\.duration).reduce(0, +) == 308_100)
    }

    /// Anybody may log anything.
    @Test(arguments: [
        ["PERDURE_GUEST": "web"], ["MESSAGE_ID": "x", "PERDURE_GUEST": "web"],
        ["MESSAGE_ID": MessageID.lost.rawValue],
    ])
    func otherEntriesAreNone(fields: [String: String]) { #expect(GuestRecord(time: 0, fields: fields) == nil) }

    @Test func whatIsNoNumberIsLeftOut() throws {
        let fields = GuestRecordTests.handover.merging(
            [
                "PERDURE_PAUSE_USEC": "-1", "PERDURE_GENERATION": "99999999999999999999",
                "PERDURE_SAVE_STATE_USEC": "soon", "PERDURE_REASON": "\u{1B}[2J",
            ]
        ) { $1 }
        let record = try #require(GuestRecord(time: 0, fields: fields))
        #expect((record.pause, record.generation) == (nil, nil))
        #expect(!record.phases.contains { $0.step.rawValue == "save-state" })
        #expect(record.reason == "\u{FFFD}[2J")
    }

    @Test func json() throws {
        let record = try #require(GuestRecord(time: 1_700_000_000_000_001, fields: GuestRecordTests.handover))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        #expect(
            String(decoding: try encoder.encode(record), as: UTF8.self) == """
                {"event":"handover-done","generation":3,"guest":"web","message":"Guest 'web' runs in VM process 3 x",\
                "messageID":"ab1ebcf047ef457183cc2afa5ccf1e2d","pauseUsec":8312,"phasesUsec":{"continue-guest":400,\
                "load-state":2900,"read-definition":1000,"save-state":4100,"start-vm-process":299000,"stop-guest":700},\
                "qemuVersionNew":"10.0.3","qemuVersionOld":"7.2.22","timeUsec":1700000000000001}
                """
        )
    }

    @Test func table() throws {
        let record = try #require(GuestRecord(time: 0, fields: GuestRecordTests.handover))
        var table = HistoryTable(style: OutputStyle(isRich: false))
        #expect(table.picture == nil)
        #expect(table.header == "TIME                 EVENT              GEN       PAUSE")
        let line = table.line(record).dropFirst(19)
        #expect(
            line == """
                  handed over          3      8.3 ms  QEMU 7.2.22 -> 10.0.3; prepare 300.0 ms, stop 0.7 ms, save 4.1 ms, \
                load 2.9 ms, continue 0.4 ms
                """
        )
        #expect(table.picture == "Pauses: #  8.3 ms to 8.3 ms, median 8.3 ms, 1 handover")
        let lost = ["MESSAGE_ID": MessageID.lost.rawValue, "PERDURE_GUEST": "web", "PERDURE_REASON": "it was killed"]
        #expect(
            table.line(try #require(GuestRecord(time: 0, fields: lost))).dropFirst(19)
                == "  lost                                it was killed"
        )
    }

    @Test func narrowTerminal() throws {
        let record = try #require(GuestRecord(time: 0, fields: GuestRecordTests.handover))
        var table = HistoryTable(style: OutputStyle(isRich: true, columns: 60))
        let lines = table.line(record).split(separator: "\n").map(String.init)
        #expect(lines[0].hasSuffix("8.3 ms") && lines.allSatisfy { $0.count <= 60 })
        #expect(
            lines.dropFirst() == [
                "    QEMU 7.2.22 → 10.0.3; prepare 300.0 ms, stop 0.7 ms,",
                "    save 4.1 ms, load 2.9 ms, continue 0.4 ms",
            ]
        )
        var wide = HistoryTable(style: OutputStyle(isRich: true, columns: 200))
        #expect(!wide.line(record).contains("\n"))
    }

    /// However long the history is, so much is kept of it.
    @Test func pictureIsBounded() throws {
        var table = HistoryTable(style: OutputStyle(isRich: true))
        for pause in 1...200 {
            let fields = GuestRecordTests.handover.merging(["PERDURE_PAUSE_USEC": "\(pause * 1000)"]) { $1 }
            _ = table.line(try #require(GuestRecord(time: 0, fields: fields)))
        }
        let picture = try #require(table.picture)
        #expect(picture.hasSuffix("  141.0 ms to 200.0 ms, median 171.0 ms, the last 60 of 200 handovers"))
        #expect(picture.filter { "▁▂▃▄▅▆▇█".contains($0) }.count == 60)
    }

    @Test(arguments: [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([8, 8], "██"), ([0, 0], "▁▁"), ([], ""), ([-5, 10], "▁█"),
        ([.max, .max / 2], "█▅"),
    ])
    func sparkline(values: [Int], text: String) {
        #expect(Sparkline.text(values, style: OutputStyle(isRich: true)) == text)
        #expect(Sparkline.text(values, style: OutputStyle(isRich: false)).utf8.count == values.count)
    }

    @Test(arguments: [
        ("C.UTF-8", true), ("de_DE.utf8@euro", true), ("de_DE.UTF-8", true), ("C", false), ("de_DE.ISO-8859-1", false),
        ("", false),
    ])
    func locale(name: String, isUTF8: Bool) { #expect(name.isEmpty || OutputStyle.isUTF8(name) == isUTF8) }
}
