/// Devices that people know from elsewhere and that a guest can't have, with the reason and what to do instead.
enum UnsupportedSection {
    /// Nil for what is not such a device.
    static func reason(_ name: String) -> String? {
        switch name.lowercased() {
        case "virtiofs", "filesystem", "share":
            "a virtiofs device can't be handed over by QEMU 7.2, and needs a virtiofsd of its own for each VM process; "
                + "share files over the guest's network"
        case "9p", "virtfs":
            "QEMU can't hand a guest over that has a 9p file system mounted; share files over the guest's network"
        case "vsock":
            "a vsock's context ID can't belong to two VM processes at once, so the next one could not be made ready "
                + "beside the guest's; use [Agent] or the guest's network"
        case "nvme":
            "QEMU 7.2 and 10.0 have no way to hand an NVMe disk over; use [Disk ID] with Bus=virtio-blk or virtio-scsi"
        case "pci", "vfio", "passthrough", "hostdevice", "gpu":
            "a device of the host keeps state that no VM process can hand to the next; use a virtio device"
        case "usb":
            "a USB device of the host can't be handed over; attach it to another machine and use it over the network"
        case "spice", "vnc": "a guest's screen is seen by VNC; use [Display]"
        default: nil
        }
    }
}
