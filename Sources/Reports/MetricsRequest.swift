/// A request of a monitor over HTTP, and the answer to it.
public enum MetricsRequest {
    /// A request has at most so many bytes.
    public static let longest = 8 << 10

    /// Whether what has come is a whole request: none has a body.
    public static func isWhole(_ bytes: [UInt8]) -> Bool {
        let end = Array("\r\n\r\n".utf8)
        return bytes.count >= end.count && bytes.indices.dropLast(3).contains { Array(bytes[$0..<($0 + 4)]) == end }
    }

    /// - Parameter page: makes what is asked for; called only where it is.
    public static func answer(_ request: [UInt8], page: () throws -> String) rethrows -> String {
        let line = String(decoding: request.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else {
            return response("400 Bad Request", "Not a request.\n")
        }
        guard words[0] == "GET" || words[0] == "HEAD" else {
            return response("405 Method Not Allowed", "Only GET and HEAD.\n", ["Allow: GET, HEAD"])
        }
        guard words[1].prefix(while: { $0 != "?" }) == "/metrics" else {
            return response("404 Not Found", "What there is, is at /metrics.\n", isHead: words[0] == "HEAD")
        }
        return response("200 OK", try page(), isHead: words[0] == "HEAD")
    }

    private static func response(
        _ status: String,
        _ body: String,
        _ headers: [String] = [],
        isHead: Bool = false
    ) -> String {
        let fixed = [
            "HTTP/1.1 \(status)", "Content-Type: text/plain; version=0.0.4; charset=utf-8",
            "Content-Length: \(body.utf8.count)", "Connection: close",
        ]
        return (fixed + headers + ["", isHead ? "" : body]).joined(separator: "\r\n")
    }
}
