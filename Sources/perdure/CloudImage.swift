import FoundationEssentials
import GuestDefinition
import Linux
import Supervisor

/// A disk image that guests' disks are made from.
struct CloudImage {
    private static let program = "/usr/bin/qemu-img"
    private static let deadline = Duration.seconds(60)

    /// Absolute path.
    let path: String
    let format: DiskFormat
    /// Bytes that a guest sees of it.
    let size: UInt64

    /// Refuses what a guest's disk can't be made from.
    static func examine(_ path: String, loop: EventLoop) async throws -> CloudImage {
        struct Information: Decodable {
            var format: String
            var size: UInt64
            var backing: String?

            enum CodingKeys: String, CodingKey {
                case format
                case size = "virtual-size"
                case backing = "backing-filename"
            }
        }
        let text = try await run(["info", "--output=json", "--", path], loop: loop).lines.joined(separator: "\n")
        guard let information = try? JSONDecoder().decode(Information.self, from: Data(text.utf8)) else {
            throw Exit.failure("'qemu-img info' says nothing that is understood of '\(path)': \(text.prefix(500))")
        }
        guard let format = DiskFormat(rawValue: information.format) else {
            throw Exit.refused(
                "'\(path)' has the format '\(information.format)'; convert it to qcow2 with 'qemu-img convert'"
            )
        }
        if let backing = information.backing {
            throw Exit.refused(
                "'\(path)' is itself an overlay, of '\(backing)'; make one image of both with 'qemu-img convert -O qcow2'"
            )
        }
        return CloudImage(path: path, format: format, size: information.size)
    }

    /// A disk's size in bytes from a command line; a disk can't be smaller than what is on it.
    func size(atLeast text: String) throws -> UInt64 {
        let wanted: UInt64
        do {
            wanted = try NewGuest.diskSize(text)
        } catch {
            throw Exit.usage("--disk: \(error)")
        }
        guard wanted >= size else {
            throw Exit.refused("--disk: '\(text)' is less than the \(size >> 20) MiB that '\(path)' has")
        }
        return wanted
    }

    func makeOverlay(_ overlay: String, size: UInt64?, loop: EventLoop) async throws {
        let arguments = ["create", "-q", "-f", "qcow2", "-b", path, "-F", format.rawValue, "--", overlay]
        _ = try await CloudImage.run(arguments + (size.map { ["\($0)"] } ?? []), loop: loop)
    }

    private static func run(_ arguments: [String], loop: EventLoop) async throws -> ProgramRun.Result {
        let result: ProgramRun.Result
        do {
            result = try await ProgramRun.run(program, arguments, loop: loop, deadline: deadline)
        } catch {
            throw Exit.failure("'\(program)' can't be run: \(error); it is in the package qemu-utils")
        }
        guard result.succeeded else { throw Exit.failure("'qemu-img \(arguments[0])' failed: \(result.lastWords)") }
        return result
    }
}
