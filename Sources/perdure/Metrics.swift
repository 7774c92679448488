import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Reports
import Varlink

struct Metrics: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print all guests' numbers in the text format of Prometheus.",
        discussion:
            "perdure-metrics.socket serves them over HTTP, and perdure-metrics.timer keeps them in a file for the "
            + "node exporter."
    )

    @Option(
        help: ArgumentHelp("Put them into a file instead, which is replaced in one step.", valueName: "path"),
        completion: .file()
    )
    var output: String?
    @Flag(help: "Answer one request over HTTP on standard input and output, as perdure-metrics.socket has it.")
    var http = false
    @OptionGroup var manager: ManagerOption

    @Flag(help: "Print JSON, on one line.")
    var json = false

    func validate() throws {
        if [http, output != nil, json].count(where: { $0 }) > 1 {
            throw ValidationError("'--http', '--output' and '--json' don't go together.")
        }
    }

    func run() throws {
        if http { return try answer() }
        if json { return try printJSON(["guests": try Metrics.guests()]) }
        let page = try Metrics.page()
        guard let output else { return print(page, terminator: "") }
        try Metrics.replace(output, with: page)
    }

    /// How long a guest's supervisor may take to answer, and all of them together.
    private static let deadline = Duration.seconds(2)
    private static let deadlineOfAll = Duration.seconds(8)

    private static func page() throws -> String { MetricsPage.text(try guests()) }

    private static func guests() throws -> [MetricsPage.Guest] {
        let end = ContinuousClock.now + deadlineOfAll
        let running = (try? Directory.names(in: Locations.current.runtime)) ?? []
        let names = Set(try DefinedGuests.names()).union(running.filter { GuestName.problem(with: $0) == nil })
        return names.sorted().map { name in
            let left = min(deadline, end - .now)
            let metrics = left > .zero ? try? ask(name, deadline: left) : nil
            return MetricsPage.Guest(name: name, metrics: metrics)
        }
    }

    private static func ask(_ guest: String, deadline: Duration) throws -> GuestInterface.Metrics {
        let client = try VarlinkClient(path: "\(GuestClient.directory(of: guest))/control", deadline: deadline)
        let method = GuestInterface.Method.getMetrics.qualified
        let parameters = GuestInterface.NoParameters()
        return try client.call(method, parameters, as: GuestInterface.MetricsReply.self).0.metrics
    }

    /// Whoever reads the file sees the old or the new one, nothing between.
    private static func replace(_ path: String, with text: String) throws {
        let temporary = "\(path).\(getpid()).tmp"
        do {
            let file = try Descriptor.create(temporary, mode: 0o644)
            defer { unlink(temporary) }
            try file.write(Array(text.utf8), at: 0)
            guard rename(temporary, path) == 0 else { throw SystemCallError("rename", on: path) }
        } catch {
            throw Exit.failure("the file can't be written: \(error)")
        }
    }

    /// How long the other side may take to say what it wants.
    private static let requestDeadline = Duration.seconds(5)

    private func answer() throws {
        let end = ContinuousClock.now + Metrics.requestDeadline
        var request: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1024)
        while !MetricsRequest.isWhole(request) {
            let left = end - .now
            if request.count >= MetricsRequest.longest || left <= .zero { return }
            guard try Polling.wait(for: [.readable(STDIN_FILENO)], deadline: left) == [true] else { return }
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count <= 0 { return }
            request += chunk[..<count]
        }
        print(try MetricsRequest.answer(request, page: Metrics.page), terminator: "")
    }
}
