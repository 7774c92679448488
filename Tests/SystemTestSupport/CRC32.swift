/// The CRC-32 of zlib and gzip.
package func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var crc = ~UInt32(0)
    for byte in bytes {
        crc = (crc >> 8) ^ table[Int((crc ^ UInt32(byte)) & 0xff)]
    }
    return ~crc
}

private let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(index) { crc, _ in (crc >> 1) ^ (0xedb8_8320 & (0 &- (crc & 1))) }
}
