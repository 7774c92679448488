import ArgumentParser
import GuestDefinition
import Varlink

struct Memory: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show or change the memory of a running guest.",
        subcommands: [ShowMemory.self, SetBalloon.self, AddMemory.self, RemoveMemory.self],
        defaultSubcommand: ShowMemory.self
    )
}

struct ShowMemory: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show what memory a guest has.")

    @OptionGroup var guest: GuestArgument
    @OptionGroup var output: OutputOption

    func run() throws { try output.show(try GuestClient(guest.name).memory(.getMemory), of: guest.name) }
}

struct SetBalloon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "balloon",
        abstract: "Ask a guest to keep so much of its memory and to give the rest back, which takes it a while."
    )

    @OptionGroup var guest: GuestArgument
    @Argument(help: "What the guest is to have, as in 512M or 2G; its whole RAM to give everything back to it.")
    var size: MemorySize
    @OptionGroup var output: OutputOption

    func run() throws {
        let parameters = GuestInterface.BalloonParameters(bytes: size.bytes)
        try output.show(try GuestClient(guest.name).memory(.setBalloon, parameters), of: guest.name)
    }
}

struct AddMemory: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Give a running guest more memory, until it is powered off or gives it up again."
    )

    @OptionGroup var guest: GuestArgument
    @Argument(help: "What the memory is called from then on, as the ID of a [RAM ID] section.")
    var id: String
    @Argument(help: "A multiple of 128M.")
    var size: MemorySize
    @OptionGroup var output: OutputOption

    func run() throws {
        let parameters = GuestInterface.AddMemoryParameters(id: id, bytes: size.bytes)
        try output.show(try GuestClient(guest.name).memory(.addMemory, parameters), of: guest.name)
    }
}

struct RemoveMemory: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Ask a guest to give memory up that was added, and wait a while for that."
    )

    @OptionGroup var guest: GuestArgument
    @Argument(help: "What 'add' has called it.")
    var id: String
    @OptionGroup var output: OutputOption

    func run() throws {
        let parameters = GuestInterface.RemoveMemoryParameters(id: id)
        try output.show(try GuestClient(guest.name).memory(.removeMemory, parameters), of: guest.name)
    }
}

/// A size as definitions have it.
struct MemorySize: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        guard let size = GuestDefinition.size(argument), let bytes = Int(exactly: size) else { return nil }
        self.bytes = bytes
    }
}

extension OutputOption {
    fileprivate func show(_ memory: GuestInterface.Memory, of guest: String) throws {
        try show(memory, memory.text(of: guest))
    }
}

extension GuestInterface.Memory {
    fileprivate func text(of guest: String) -> String {
        let blocks = blocks.map { "\($0.id) \($0.bytes >> 20) MiB" }.joined(separator: ", ")
        let balloon = balloonBytes.map { "; the balloon leaves the guest \($0 >> 20) MiB" } ?? ""
        let maximum = maximumBytes.map { " of at most \($0 >> 20) MiB" } ?? ""
        return "\(guest): RAM \(blocks)\(maximum)\(balloon)"
    }
}
