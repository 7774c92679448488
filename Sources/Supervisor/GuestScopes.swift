import Linux
import Systemd

/// The scopes that a guest's VM processes run in.
public enum GuestScopes {
    public static func name(guest: String, generation: Int) -> String { "\(prefix(guest))\(generation).scope" }

    /// Scopes of the guest that exist, with their processes. Blocks.
    public static func living(guest: String, deadline: Duration) throws(ManagerError) -> [String: [Int32]] {
        let prefix = prefix(guest)
        return try Manager.scopes(prefix: prefix, deadline: deadline).filter { name, _ in
            // Another guest's name may begin like this one's.
            let generation = name.dropFirst(prefix.count).dropLast(".scope".count)
            return !generation.isEmpty && generation.allSatisfy { $0.isASCII && $0.isNumber }
        }
    }

    private static func prefix(_ guest: String) -> String { "perdure-\(guest)-g" }
}
