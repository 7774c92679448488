import CLinux
import Glibc

/// A queue of packets of a tap interface, which is there for as long as one of its queues is open.
public enum TapQueue {
    /// How much of a packet there is at most, its header included.
    private static let largestPacket = 128 << 10

    /// A new interface's first queue.
    /// - Parameter name: a '%d' in it becomes the first free number.
    public static func create(_ name: String) throws(SystemCallError) -> Descriptor {
        let queue = try open()
        try attach(queue, to: name, isNew: true)
        return queue
    }

    public static func open() throws(SystemCallError) -> Descriptor {
        Descriptor(owning: try check("open", on: "/dev/net/tun") { clinux_tap_open() })
    }

    /// Makes a file that is no interface's queue one of `name`, which is made where it is missing.
    public static func attach(_ queue: Descriptor, to name: String, isNew: Bool = false) throws(SystemCallError) {
        try check("TUNSETIFF", on: name) { clinux_tap_attach(queue.raw, name, isNew ? 1 : 0) }
    }

    /// The interface that it is a queue of, and whether packets are kept from it; nil where it is none's.
    public static func interface(of queue: Descriptor) -> (name: String, isDetached: Bool)? {
        var name = [CChar](repeating: 0, count: Int(CLINUX_INTERFACE_NAME_SIZE))
        var isDetached: Int32 = 0
        guard clinux_tap_query(queue.raw, &name, &isDetached) == 0 else { return nil }
        return (String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), isDetached != 0)
    }

    /// What waits in a queue that is being detached is lost.
    public static func setDetached(_ queue: Descriptor, _ isDetached: Bool) throws(SystemCallError) {
        try check("TUNSETQUEUE", on: "fd \(queue.raw)") { clinux_tap_set_detached(queue.raw, isDetached ? 1 : 0) }
    }

    /// Bytes before each packet, of the whole interface.
    public static func header(of queue: Descriptor) throws(SystemCallError) -> Int {
        Int(try check("TUNGETVNETHDRSZ", on: "fd \(queue.raw)") { clinux_tap_get_header(queue.raw) })
    }

    public static func setHeader(of queue: Descriptor, to size: Int) throws(SystemCallError) {
        try check("TUNSETVNETHDRSZ", on: "fd \(queue.raw)") { clinux_tap_set_header(queue.raw, Int32(size)) }
    }

    public static func hasPacket(_ queue: Descriptor) -> Bool { clinux_tap_is_readable(queue.raw) > 0 }

    /// Sends all packets of the interface to one of its queues, by its position modulo their number; nil: to each its
    /// flows again. Only what is sent to a queue before that one by `NetworkInterface.send` goes there.
    public static func steer(_ queue: Descriptor, to position: Int?) throws(SystemCallError) {
        try check("TUNSETSTEERINGEBPF", on: "fd \(queue.raw)") {
            clinux_tap_steer(queue.raw, position.map(Int32.init) ?? -1)
        }
    }

    /// Takes the packets that wait, the oldest first, at most `limit` of them.
    public static func takePackets(_ queue: Descriptor, limit: Int) -> [[UInt8]] {
        var packets: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: largestPacket)
        while packets.count < limit {
            let got = Glibc.read(queue.raw, &buffer, buffer.count)
            if got < 0 && errno == EINTR { continue }
            if got <= 0 { break }
            packets.append(Array(buffer[..<got]))
        }
        return packets
    }
}
