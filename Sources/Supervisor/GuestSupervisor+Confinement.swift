import Glibc
import GuestDefinition
import Linux

/// What a VM process may do: as good as nothing but use what it was handed.
extension GuestSupervisor {
    /// A user manager's supervisor has no other user to offer than its own.
    /// - Parameter accelerator: what is used; a QEMU that is asked what it can do may want to look at KVM.
    func confinement(accelerator: Accelerator = .kvm) async throws -> Confinement? {
        guard geteuid() == 0 else { return nil }
        let name = name
        let user = try await BlockingCalls.run { try GuestUsers().user(of: name) }
        let devices = accelerator == .kvm ? [GuestUsers.kvm] : []
        return Confinement(user: user, groups: devices.compactMap(GuestUsers.group))
    }

    /// Opens the images of the guest's disks for one VM process, since locks belong to what was opened: two VM processes
    /// must not share it. What backs an image is not opened: the image names it, and the guest may have written that.
    func openImages(of hardware: GuestHardware) async throws -> (sets: [String: DescriptorSet], files: [Descriptor]) {
        let (images, calls) = (hardware.images, calls)
        return try await BlockingCalls.run(on: loop, deadline: timeouts.prepare) {
            var (sets, files): ([String: DescriptorSet], [Descriptor]) = ([:], [])
            for (set, disk) in images {
                let modes = disk.readOnly ? [O_RDONLY] : [O_RDWR, O_RDONLY]
                // From 9.1 on QEMU takes none without O_DIRECT where it wants one with it. A file system that has none
                // of that is QEMU's to refuse.
                let direct = disk.cache.isDirect ? modes.map { $0 | Descriptor.direct } : []
                let opened =
                    try modes.map { try calls.open(disk.image, $0 | O_NONBLOCK) }
                    + direct.compactMap { try? calls.open(disk.image, $0 | O_NONBLOCK) }
                sets[disk.id] = DescriptorSet(number: set, descriptors: opened.map(\.raw))
                files += opened
            }
            return (sets, files)
        }
    }
}
