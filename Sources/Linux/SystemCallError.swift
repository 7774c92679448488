import Glibc

/// A system call that failed, and on which object.
public struct SystemCallError: Error, Equatable, CustomStringConvertible {
    public let call: String
    public let object: String
    /// The value of errno.
    public let code: Int32

    public init(_ call: String, on object: String, code: Int32 = errno) {
        self.call = call
        self.object = object
        self.code = code
    }

    public var description: String { "\(call) '\(object)': \(String(cString: strerror(code)))" }
}

/// Calls `body` and turns a negative result into an error with errno.
@discardableResult
func check<Result: SignedInteger>(
    _ call: String,
    on object: String,
    _ body: () -> Result
) throws(SystemCallError) -> Result {
    let result = body()
    if result < 0 { throw SystemCallError(call, on: object) }
    return result
}
