import ArgumentParser
import Glibc
import GuestDefinition
import Linux
import Supervisor
import Systemd

struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete a guest that is off: its definition, its drop-ins and what Perdure has made for it.",
        discussion: """
            Its disks, UEFI variables and dumps are kept and named, unless '--disks' is given. Block devices, what is \
            only read, and what another guest's definition names stay in any case.
            """
    )

    private static let deadline = Duration.seconds(10)

    @OptionGroup var guest: GuestArgument
    @Flag(help: "Delete the images of its disks, its UEFI variables and its dumps, too.")
    var disks = false
    @OptionGroup var output: OutputOption

    func run() throws {
        if let problem = GuestName.problem(with: guest.name) { throw Exit.usage(problem) }
        let remains = try GuestRemains(of: guest.name, withDisks: disks)
        try refuseIfInUse()
        let deletion = try remains.delete(withDisks: disks)
        try output.show(deletion, deletion.text)
        if let failure = deletion.failures.first { throw Exit.failure(failure) }
    }

    /// A guest that runs or is held would be lost; a unit that is enabled would fail at each boot.
    private func refuseIfInUse() throws {
        let unit = "perdure@\(guest.name).service"
        let problem: String?
        do {
            problem = try reasonToStay(unit)
        } catch {
            throw Exit.failure("whether guest '\(guest.name)' is off can't be known, so nothing is deleted: \(error)")
        }
        if let problem { throw Exit.refused("guest '\(guest.name)' is not deleted: \(problem)") }
    }

    private func reasonToStay(_ unit: String) throws(ManagerError) -> String? {
        for unit in [unit, "perdure-machine@\(guest.name).service"] {
            let state = try? Manager.fileState(of: unit, deadline: Delete.deadline)
            if let state, state.hasPrefix("enabled") || state.hasPrefix("linked") {
                return "its unit is enabled; '\(Locations.current.systemctl) disable --now \(unit)' first"
            }
        }
        for found in try Manager.units(matching: unit, deadline: Delete.deadline) where found.name == unit {
            if !["inactive", "failed"].contains(found.activeState) {
                return "its unit is \(found.activeState); '\(Locations.current.systemctl) stop \(unit)' first"
            }
            let stored = try? Manager.descriptorStore(of: unit, deadline: Delete.deadline).count
            if let stored, stored > 0 { return "systemd holds its memory; start it and power it off first" }
        }
        let scopes = try GuestScopes.living(guest: guest.name, deadline: Delete.deadline)
        let living = scopes.filter { !$0.value.isEmpty }.keys.sorted()
        guard let scope = living.first else { return nil }
        return "a VM process of it is left, in '\(scope)'; '\(Locations.current.systemctl) stop \(scope)' ends it"
    }
}
