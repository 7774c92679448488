import ArgumentParser
import FoundationEssentials

/// What every command has that prints something for people.
struct OutputOption: ParsableArguments {
    @Flag(help: "Print JSON, on one line.")
    var json = false

    func show(_ value: some Encodable, _ text: @autoclosure () -> String) throws {
        if json { try printJSON(value) } else { print(text()) }
    }
}

/// For programs to read: one line, the keys in their order.
func printJSON(_ value: some Encodable) throws { print(try jsonLine(value)) }

func jsonLine(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
