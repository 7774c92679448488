import ArgumentParser
import Glibc
import Linux
import Varlink

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a guest's memory and registers to a file, for a debugger.",
        discussion: """
            The guest stands still until its memory has been written to the host's page cache; whatever ends this command \
            before that lets the guest go on. The file holds all that the guest has in memory, and only its owner may read it.
            """
    )

    @OptionGroup var guest: GuestArgument
    @Argument(help: "The file, which must not be there yet.", completion: .file())
    var file: String
    @Option(help: "'elf', or what QEMU has besides: 'kdump-zlib', 'kdump-lzo', 'kdump-snappy'.")
    var format = "elf"
    @Flag(help: "Have the guest's virtual addresses in it, as gdb wants them; with the format 'elf'.")
    var paging = false
    @OptionGroup var output: OutputOption

    func run() throws {
        // Before any other thread is there.
        try Signals.block([SIGINT, SIGTERM])
        let signals = try Signals.descriptor(for: [SIGINT, SIGTERM])
        let progress = ProgressLine.ifSeen(json: output.json)
        let client = try GuestClient(guest.name)
        let file = try DumpFile(file, guest: guest.name, for: try metrics(client))
        do {
            try transfer(client, to: file, until: signals, progress)
            try file.finish()
        } catch {
            file.remove()
            throw error
        }
        let (size, taken) = (file.size >> 20, file.written >> 20)
        try output.show(
            Written(guest: guest.name, file: file.path, format: format, bytes: file.size, writtenBytes: file.written),
            "Wrote '\(file.path)': \(size) MiB, of which \(taken) MiB take room."
        )
    }

    private struct Written: Encodable {
        let guest: String
        let file: String
        let format: String
        let bytes: UInt64
        let writtenBytes: UInt64
    }

    private func metrics(_ client: GuestClient) throws -> GuestInterface.Metrics {
        let parameters = GuestInterface.NoParameters()
        return try client.call(.getMetrics, parameters, as: GuestInterface.MetricsReply.self).0.metrics
    }

    /// Takes what QEMU writes, until the end of it and the supervisor's answer are there.
    private func transfer(
        _ client: GuestClient,
        to file: DumpFile,
        until signals: Descriptor,
        _ progress: ProgressLine?
    ) throws {
        defer { progress?.finish(guest.name) }
        let input = try begin(client)
        var (isAnswered, isWhole) = (false, false)
        while !isAnswered || !isWhole {
            let ready = try Polling.wait(for: [
                isWhole ? .none : .readable(input.raw), isAnswered ? .none : .readable(client.socket.raw),
                .readable(signals.raw),
            ])
            if ready[2] { throw Exit.failure("interrupted; the guest '\(guest.name)' goes on") }
            if ready[0] {
                switch try UnixSocket.receive(from: input, limit: DumpFile.chunk) {
                case .nothingYet: break
                case .endOfStream: isWhole = true
                case .bytes(let bytes, _): try file.append(bytes)
                }
                progress?.update(guest.name, "Dumping the guest's memory (\(file.size >> 20) MiB)")
            } else if ready[1] {
                _ = try client.answer(as: GuestInterface.StatusReply.self)
                isAnswered = true
            }
        }
    }

    /// Asks for the dump. What is returned ends with it.
    private func begin(_ client: GuestClient) throws -> Descriptor {
        let (ours, theirs) = try UnixSocket.pair()
        let parameters = GuestInterface.DumpParameters(format: format, paging: paging)
        try client.begin(.dump, parameters, attaching: [theirs])
        return ours
    }
}
