import ArgumentParser
import GuestDefinition
import Linux

extension CompletionKind {
    /// Names of the guests that are defined.
    static var guestNames: CompletionKind {
        .custom { words, _, prefix in
            if words.contains("--user") { Locations.useUsers() }
            let names = (try? DefinedGuests.names()) ?? []
            return names.filter { $0.hasPrefix(prefix) }
        }
    }
}
