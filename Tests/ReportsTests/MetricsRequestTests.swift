import Testing

@testable import Reports

struct MetricsRequestTests {
    @Test func page() {
        let answer = MetricsRequest.answer(Array("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) { "äx 1\n" }
        #expect(
            answer
                == "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 6\r\n"
                + "Connection: close\r\n\r\näx 1\n"
        )
    }

    @Test func head() {
        let answer = MetricsRequest.answer(Array("HEAD /metrics HTTP/1.0\r\n\r\n".utf8)) { "x 1\n" }
        #expect(
            answer.contains("200 OK\r\n") && answer.contains("Content-Length: 4\r\n") && answer.hasSuffix("\r\n\r\n")
        )
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"), ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics\r\n\r\n", "400 Bad Request"), ("\r\n\r\n", "400 Bad Request"),
        ("GET  /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"), ("GET /metrics FTP/1.1\r\n\r\n", "400 Bad Request"),
        ("\u{0}\u{1}\r\n\r\n", "400 Bad Request"),
    ])
    func otherRequests(request: String, status: String) {
        let answer = MetricsRequest.answer(Array(request.utf8)) {
            Issue.record("nothing is asked of the guests")
            return ""
        }
        #expect(answer.hasPrefix("HTTP/1.1 \(status)\r\n"))
    }

    @Test(arguments: [("GET / HTTP/1.1\r\n\r\n", true), ("GET / HTTP/1.1\r\n", false), ("", false), ("\r\n\r", false)])
    func wholeness(text: String, isWhole: Bool) { #expect(MetricsRequest.isWhole(Array(text.utf8)) == isWhole) }
}
