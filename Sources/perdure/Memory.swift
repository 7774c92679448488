import ArgumentParser
import FoundationEssentials
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
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let (reply, _) = try GuestClient(guest.name).call(
            .getMemory,
            GuestInterface.NoParameters(),
            as: GuestInterface.MemoryReply.self
        )
        guard json else { return reply.memory.show(guest.name) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(reply.memory), as: UTF8.self))
    }
}

struct SetBalloon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "balloon",
        abstract: "Ask a guest to keep so much of its memory and to give the rest back, which takes it a while."
    )

    @OptionGroup var guest: GuestArgument
    @Argument(help: "What the guest is to have, as in 512M or 2G; its whole RAM to give everything back to it.")
    var size: MemorySize

    func run() throws {
        let parameters = GuestInterface.BalloonParameters(bytes: size.bytes)
        let client = try GuestClient(guest.name)
        let (reply, _) = try client.call(.setBalloon, parameters, as: GuestInterface.MemoryReply.self)
        reply.memory.show(guest.name)
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

    func run() throws {
        let parameters = GuestInterface.AddMemoryParameters(id: id, bytes: size.bytes)
        let client = try GuestClient(guest.name)
        let (reply, _) = try client.call(.addMemory, parameters, as: GuestInterface.MemoryReply.self)
        reply.memory.show(guest.name)
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

    func run() throws {
        let parameters = GuestInterface.RemoveMemoryParameters(id: id)
        let client = try GuestClient(guest.name)
        let (reply, _) = try client.call(.removeMemory, parameters, as: GuestInterface.MemoryReply.self)
        reply.memory.show(guest.name)
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

extension GuestInterface.Memory {
    fileprivate func show(_ guest: String) {
        let blocks = blocks.map { "\($0.id) \($0.bytes >> 20) MiB" }.joined(separator: ", ")
        let balloon = balloonBytes.map { "; the balloon leaves the guest \($0 >> 20) MiB" } ?? ""
        let maximum = maximumBytes.map { " of at most \($0 >> 20) MiB" } ?? ""
        print("\(guest): RAM \(blocks)\(maximum)\(balloon)")
    }
}
