import Supervisor
import Varlink

/// One guest in a list of all.
public struct GuestOverview: Encodable, Sendable {
    public var name: String
    /// As the supervisor has it; `off`, `failed` or `silent` where there is none, or it does not answer.
    public var state: String
    /// Microseconds since the epoch.
    public var sinceUsec: Int?
    public var generation: Int?
    public var qemuVersion: String?
    public var outdated: Bool?
    public var memoryBytes: Int?
    public var lastPauseUsec: Int?

    public init(name: String, state: String) { (self.name, self.state) = (name, state) }

    public init(_ status: GuestInterface.Status) {
        self.init(name: status.guest, state: status.state)
        sinceUsec = status.sinceUsec
        generation = status.generation
        qemuVersion = status.qemuVersion
        outdated = status.outdated
        memoryBytes = status.memoryBytes
        lastPauseUsec = status.lastPauseUsec
    }
}

/// All guests as people read them: a line each.
public struct GuestTable {
    private enum Colour: String {
        case green = "32"
        case yellow = "33"
        case red = "31"
        case grey = "90"
    }

    private struct Cell {
        var text: String
        var colour: Colour?
    }

    private static let header = ["GUEST", "STATE", "SINCE", "GEN", "QEMU", "MEMORY", "LAST PAUSE"]
    private static let rightAligned: Set = [3, 5, 6]
    /// A name is shortened where there is no room for it, but not further.
    private static let shortestName = 8

    private let style: OutputStyle

    public init(style: OutputStyle) { self.style = style }

    /// - Parameter now: microseconds since the epoch.
    public func lines(_ guests: [GuestOverview], now: Int) -> [String] {
        var rows = [GuestTable.header.map { Cell(text: $0) }] + guests.map { cells($0, now) }
        var widths = GuestTable.header.indices.map { column in rows.map { $0[column].text.count }.max() ?? 0 }
        if let columns = style.columns {
            let excess = widths.reduce(0, +) + 2 * (widths.count - 1) - columns
            widths[0] = max(min(widths[0], GuestTable.shortestName), widths[0] - max(0, excess))
        }
        for row in rows.indices { rows[row][0].text = shortened(rows[row][0].text, to: widths[0]) }
        return rows.map { line($0, widths) }
    }

    private func cells(_ guest: GuestOverview, _ now: Int) -> [Cell] {
        let isOutdated = guest.outdated == true
        let version = guest.qemuVersion.map { isOutdated ? "\($0) outdated" : $0 } ?? "-"
        return [
            Cell(text: guest.name),
            Cell(text: guest.state, colour: GuestTable.colour(of: guest.state)),
            Cell(text: guest.sinceUsec.map { "\(GuestTable.age(microseconds: now - $0)) ago" } ?? "-"),
            Cell(text: guest.generation.map { "\($0)" } ?? "-"),
            Cell(text: version, colour: isOutdated ? .yellow : nil),
            Cell(text: guest.memoryBytes.map(GuestTable.size) ?? "-"),
            Cell(text: guest.lastPauseUsec.map { "\(Milliseconds(microseconds: $0))" } ?? "-"),
        ]
    }

    private static func colour(of state: String) -> Colour? {
        switch state {
        case "running": .green
        case "off": .grey
        case "failed", "unclear", "silent", "abandon": .red
        default: .yellow
        }
    }

    private func line(_ cells: [Cell], _ widths: [Int]) -> String {
        let texts = cells.indices.map { column in
            let (cell, width) = (cells[column], widths[column])
            let padding = String(repeating: " ", count: max(0, width - cell.text.count))
            let text = cell.colour.map { style.hasColours ? "\u{1B}[\($0.rawValue)m\(cell.text)\u{1B}[0m" : cell.text }
            let shown = text ?? cell.text
            if GuestTable.rightAligned.contains(column) { return padding + shown }
            return column == cells.count - 1 ? shown : shown + padding
        }
        return texts.joined(separator: "  ")
    }

    private func shortened(_ name: String, to width: Int) -> String {
        guard name.count > width else { return name }
        let mark = style.isRich ? "…" : "~"
        return name.prefix(width - 1) + mark
    }

    /// `12s`, `5min`, `2h 5min`, `3d 4h`.
    static func age(microseconds: Int) -> String {
        let seconds = max(0, microseconds) / 1_000_000
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400)
        if minutes == 0 { return "\(seconds)s" }
        if hours == 0 { return "\(minutes)min" }
        if days == 0 { return minutes % 60 == 0 ? "\(hours)h" : "\(hours)h \(minutes % 60)min" }
        return hours % 24 == 0 ? "\(days)d" : "\(days)d \(hours % 24)h"
    }

    /// `128M`, `2G`, `1.5G`.
    static func size(bytes: Int) -> String {
        let megabytes = bytes >> 20
        if megabytes < 1024 { return "\(megabytes)M" }
        let tenths = megabytes * 10 / 1024
        return tenths % 10 == 0 ? "\(tenths / 10)G" : "\(tenths / 10).\(tenths % 10)G"
    }
}
