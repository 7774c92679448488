import Foundation
import SystemTestSupport

/// A disk that the test guest boots from by itself: one FAT file system, with boot loaders for SeaBIOS (SYSLINUX) and,
/// with signatures for secure boot, for UEFI (shim and GRUB).
enum BootDisk {
    static let path = "/var/lib/guests/boot.img"
    static let section = ["[Disk boot]", "Image=\(path)", "Format=raw", "ReadOnly=yes"]

    /// In the cache of the tests, see `System/fetch-boot-loader`.
    private static let loader = "boot-loader"

    /// Why tests of secure boot have to be skipped; nil if they need not.
    static var missingLoader: String? {
        let path = "\(BootedSystem.cache)/\(loader)"
        if FileManager.default.fileExists(atPath: path) { return nil }
        let reason = try? String(contentsOfFile: "\(path).missing", encoding: .utf8)
        return "There is no boot loader at '\(path)'. \(reason ?? "'make stage' fetches it.")"
    }

    /// Makes the disk, with what the guest is to be told.
    static func make(for plan: GuestPlan, on system: BootedSystem) async throws {
        let script = #"""
            set -e
            mkdir -p /var/lib/guests
            cd /var/lib/guests
            truncate -s 48M boot.img
            mformat -i boot.img -v BOOT ::
            mcopy -i boot.img "$1/vmlinuz" ::vmlinuz
            mcopy -i boot.img "$1/initramfs.cpio.gz" ::initrd.gz
            printf 'DEFAULT test\nPROMPT 0\nLABEL test\nKERNEL vmlinuz\nINITRD initrd.gz\nAPPEND %s\n' "$2" >syslinux.cfg
            mcopy -i boot.img syslinux.cfg ::syslinux.cfg
            syslinux --install boot.img
            [ -d "$1/$3" ] || exit 0
            mmd -i boot.img ::EFI ::EFI/BOOT ::EFI/debian
            mcopy -i boot.img "$1/$3/shimx64.efi" ::EFI/BOOT/BOOTX64.EFI
            mcopy -i boot.img "$1/$3/grubx64.efi" ::EFI/BOOT/grubx64.efi
            printf 'linux /vmlinuz %s\ninitrd /initrd.gz\nboot\n' "$2" >grub.cfg
            mcopy -i boot.img grub.cfg ::EFI/debian/grub.cfg
            """#
        try await system.run(["sh", "-c", script, "sh", GuestPlan.files, plan.commandLine, loader])
    }
}
