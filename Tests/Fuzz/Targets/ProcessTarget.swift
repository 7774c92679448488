import Linux

@testable import Supervisor

/// What the kernel and a VM process say of the VM process. The first byte says what the rest is: "M" mappings, in which
/// "@FILE@" is the file that is looked for; anything else is the process's output.
enum ProcessTarget {
    static func check(_ input: [UInt8]) throws -> Bool {
        let text = Array(input.dropFirst())
        let output = try ProcessOutput()
        if input.first == UInt8(ascii: "M") {
            let file = try output.file.identity()
            let (major, minor) = (file.device >> 8 & 0xFFF, file.device & 0xFF)
            let name = "\(String(major, radix: 16)):\(String(minor, radix: 16)) \(file.inode)"
            let maps = text.replacing(Array("@FILE@".utf8), with: Array(name.utf8))
            let length = Mappings(text: maps).length(of: file, shared: true)
            try require(length == 0 || text.contains(UInt8(ascii: "s")), "what is not shared counts as shared")
            return length > 0
        } else {
            try output.file.write(Array(text.prefix(ProcessOutput.size)), at: 0)
            guard let words = output.lastWords else { return false }
            try requireShowable(words)
            return true
        }
    }
}
