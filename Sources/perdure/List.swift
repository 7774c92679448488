import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Reports
import Systemd
import Varlink

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show all guests that are defined or running, a line each."
    )

    @OptionGroup var output: OutputOption
    @OptionGroup var manager: ManagerOption

    func run() throws {
        let guests = try RunningGuests.overviews()
        if output.json { return try printJSON(["guests": guests]) }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000
        for line in GuestTable(style: .standardOutput).lines(guests, now: microseconds) { print(line) }
    }
}

/// What there is of guests on this host.
enum RunningGuests {
    /// How long the supervisors may take to answer. All are asked at once.
    private static let deadline = Duration.seconds(2)
    /// How long one may keep others waiting that want to ask it, too.
    private static let connectDeadline = Duration.milliseconds(50)

    /// Of guests that have a supervisor, sorted.
    static func names() -> [String] {
        let directories = (try? Directory.names(in: Locations.current.runtime)) ?? []
        return directories.filter { name in
            GuestName.problem(with: name) == nil && access("\(GuestClient.directory(of: name))/control", F_OK) == 0
        }.sorted()
    }

    /// Of all guests that are defined or running, sorted by name.
    static func overviews() throws -> [GuestOverview] {
        let running = names()
        let end = ContinuousClock.now + deadline
        // All supervisors are at work before the first is waited for.
        let asked = running.map { ($0, ask($0)) }
        let defined = (try? DefinedGuests.names()) ?? []
        let off = Set(defined).subtracting(running)
        let units = off.isEmpty ? nil : try? Manager.units(matching: "perdure@*.service", deadline: deadline)
        let failed = Set((units ?? []).filter { $0.activeState == "failed" }.map(\.name))
        var found = off.map { name in
            GuestOverview(name: name, state: failed.contains("perdure@\(name).service") ? "failed" : "off")
        }
        for (name, client) in asked {
            client?.deadline = max(.zero, end - .now)
            let reply = try? client?.receive(as: GuestInterface.StatusReply.self).0
            found.append(reply.map { GuestOverview($0.status) } ?? GuestOverview(name: name, state: "silent"))
        }
        return found.sorted { $0.name < $1.name }
    }

    private static func ask(_ guest: String) -> VarlinkClient? {
        let path = "\(GuestClient.directory(of: guest))/control"
        let client = try? VarlinkClient(path: path, deadline: deadline, connectDeadline: connectDeadline)
        guard let client else { return nil }
        let method = GuestInterface.Method.getStatus.qualified
        return (try? client.send(method, GuestInterface.NoParameters())) == nil ? nil : client
    }
}
