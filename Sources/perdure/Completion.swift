import ArgumentParser
import GuestDefinition

extension CompletionKind {
    /// Names of the guests that are defined.
    static var guestNames: CompletionKind {
        .custom { _, _, prefix in
            let names = (try? DefinedGuests.names()) ?? []
            return names.filter { $0.hasPrefix(prefix) }
        }
    }
}
