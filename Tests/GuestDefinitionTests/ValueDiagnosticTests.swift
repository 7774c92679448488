import GuestDefinition
import Testing

struct ValueDiagnosticTests {
    @Test(arguments: cases)
    func isReported(_ example: Case) {
        #expect(diagnostics(example.text) == example.expected)
    }

    static let cases: [Case] = [
        Case(
            "machine",
            minimalText + "[Guest]\nMachine=q35,memory-backend=x",
            [
                "demo.guest:6:9: 'q35,memory-backend=x' is not a machine type; a machine type consists of a-z, "
                    + "0-9, '.' and '-'"
            ]
        ),
        Case(
            "machine too long",
            minimalText + "[Guest]\nMachine=" + String(repeating: "q", count: 65),
            [
                "demo.guest:6:9: '" + String(repeating: "q", count: 65)
                    + "' is too long for a machine type; use at most 64 characters"
            ]
        ),
        Case(
            "accelerator",
            minimalText + "[Guest]\nAccelerator=xen",
            [
                "demo.guest:6:13: 'xen' is not supported; use 'tcg' or 'kvm'"
            ]
        ),
        Case(
            "QEMU",
            minimalText + "[Guest]\nQEMU=qemu-system-x86_64",
            [
                "demo.guest:6:6: 'qemu-system-x86_64' is not an absolute path; begin it with '/'"
            ]
        ),
        Case(
            "QEMU does not exist",
            minimalText + "[Guest]\nQEMU=/usr/bin/qemu",
            [
                "demo.guest:6:6: '/usr/bin/qemu' does not exist"
            ]
        ),
        Case(
            "UUID",
            minimalText + "[Guest]\nUUID=1234",
            [
                "demo.guest:6:6: '1234' is not a UUID; write it as in '6ba7b810-9dad-11d1-80b4-00c04fd430c8'"
            ]
        ),
        Case(
            "description",
            minimalText + "[Guest]\nDescription=" + String(repeating: "d", count: 257),
            [
                "demo.guest:6:13: this has 257 bytes, but a description may have at most 256"
            ]
        ),
        Case(
            "count",
            minimalText + "[CPU]\nCount=four",
            [
                "demo.guest:6:7: 'four' is not a number"
            ]
        ),
        Case(
            "count out of range",
            minimalText + "[CPU]\nCount=0",
            [
                "demo.guest:6:7: '0' is out of range; use 1 to 255"
            ]
        ),
        Case(
            "count beyond all integers",
            minimalText + "[CPU]\nCount=99999999999999999999999",
            [
                "demo.guest:6:7: '99999999999999999999999' is out of range; use 1 to 255"
            ]
        ),
        Case(
            "model",
            minimalText + "[CPU]\nModel=EPYC,+x2apic",
            [
                "demo.guest:6:7: 'EPYC,+x2apic' is not a CPU model; a CPU model consists of letters, digits, "
                    + "'_', '.' and '-'"
            ]
        ),
        Case(
            "host model with tcg",
            minimalText + "[Guest]\nAccelerator=tcg\n[CPU]\nModel=host",
            [
                "demo.guest:8:7: the CPU model 'host' needs Accelerator=kvm; with tcg, use a named model"
            ]
        ),
        Case(
            "size",
            minimalText + "[RAM more]\nSize=12q",
            [
                "demo.guest:6:6: '12q' is not a size; use a number with K, M, G or T"
            ]
        ),
        Case(
            "size too small",
            minimalText + "[RAM more]\nSize=16M",
            [
                "demo.guest:6:6: '16M' is out of range; use 32M to 64T"
            ]
        ),
        Case(
            "size without suffix",
            minimalText + "[RAM more]\nSize=512",
            [
                "demo.guest:6:6: '512' counts bytes and is out of range; use 32M to 64T"
            ]
        ),
        Case(
            "size too large",
            minimalText + "[RAM more]\nSize=65T",
            [
                "demo.guest:6:6: '65T' is out of range; use 32M to 64T"
            ]
        ),
        Case(
            "size beyond all integers",
            minimalText + "[RAM more]\nSize=99999999999999999T",
            [
                "demo.guest:6:6: '99999999999999999T' is out of range; use 32M to 64T"
            ]
        ),
        Case(
            "size is negative",
            minimalText + "[RAM more]\nSize=-1G",
            [
                "demo.guest:6:6: '-1G' is not a size; use a number with K, M, G or T"
            ]
        ),
        Case(
            "size is not a multiple",
            minimalText + "[RAM more]\nSize=33M",
            [
                "demo.guest:6:6: 33M is not a multiple of 2M, the size of a huge page"
            ]
        ),
        Case(
            "sizes exceed the limit together",
            minimalText + "[RAM more]\nSize=64T\n[RAM last]\nSize=64T",
            [
                "demo.guest:6:6: with this, all RAM blocks together exceed 64T"
            ]
        ),
        Case(
            "too many RAM blocks",
            minimalText + (0..<128).map { "[RAM n\($0)]\nSize=32M\n" }.joined(),
            [
                "demo.guest:259:1: this is RAM block 129, but QEMU takes at most 128 NUMA nodes"
            ]
        ),
        Case(
            "kernel",
            "[RAM main]\nSize=1G\n[Kernel]\nImage=vmlinuz\nInitrd=/boot/none\nCommandLine="
                + String(repeating: "c", count: 2048),
            [
                "demo.guest:4:7: 'vmlinuz' is not an absolute path; begin it with '/'",
                "demo.guest:5:8: '/boot/none' does not exist",
                "demo.guest:6:13: this has 2048 bytes, but Linux takes a command line of at most 2047",
            ]
        ),
        Case(
            "kernel is no file",
            "[RAM main]\nSize=1G\n[Kernel]\nImage=/boot\nInitrd=/dev/vg/data",
            [
                "demo.guest:4:7: '/boot' is a directory",
                "demo.guest:5:8: '/dev/vg/data' is not a regular file",
            ]
        ),
        Case(
            "firmware without its package",
            minimalText + "[Firmware]\nType=uefi\nSecureBoot=yes",
            [
                "demo.guest:6:6: '/usr/share/OVMF/OVMF_CODE_4M.ms.fd' does not exist; install the package 'ovmf', "
                    + "or set Image=",
                "demo.guest:6:6: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd' does not exist; install the package 'ovmf', "
                    + "or set VariablesTemplate=",
            ]
        ),
        Case(
            "firmware of a variable store that is there",
            minimalText + "[Firmware]\nType=uefi\nImage=/srv/code.fd\nVariables=/srv/data.raw",
            []
        ),
        Case(
            "firmware that is no file",
            minimalText + "[Firmware]\nType=uefi\nImage=/srv\nVariables=/boot\nVariablesTemplate=none",
            [
                "demo.guest:7:7: '/srv' is a directory",
                "demo.guest:8:11: '/boot' is not a regular file",
                "demo.guest:9:19: 'none' is not an absolute path; begin it with '/'",
            ]
        ),
        Case(
            "firmware type",
            minimalText + "[Firmware]\nType=efi",
            [
                "demo.guest:6:6: 'efi' is not supported; use 'bios' or 'uefi'"
            ]
        ),
        Case(
            "variables of a BIOS",
            minimalText + "[Firmware]\nSecureBoot=yes\nVariables=/srv/vars.fd\nVariablesTemplate=/srv/template.fd",
            [
                "demo.guest:6:12: SecureBoot= needs Type=uefi",
                "demo.guest:7:11: Variables= needs Type=uefi",
                "demo.guest:8:19: VariablesTemplate= needs Type=uefi",
            ]
        ),
        Case(
            "variables on a disk",
            minimalText
                + "[Firmware]\nType=uefi\nImage=/srv/code.fd\nVariables=/srv/link.raw\n[Disk data]\nImage=/srv/data.raw\n"
                + "Format=raw",
            [
                "demo.guest:8:11: '/srv/link.raw' is also the image of [Disk data]; give each its own"
            ]
        ),
        Case(
            "cloud-init",
            minimalText
                + "[CloudInit]\nInstanceID=a b\nHostname=Web\nSSHKeys=keys\nUserData=/none\nNetworkConfig=/srv",
            [
                "demo.guest:6:12: 'a b' is not an instance ID; use letters, digits, '_', '.' and '-'",
                "demo.guest:7:10: 'Web' is not a host name; use lower-case letters, digits and '-'",
                "demo.guest:8:9: 'keys' is not an absolute path; begin it with '/'",
                "demo.guest:9:10: '/none' does not exist",
                "demo.guest:10:15: '/srv' is a directory",
            ]
        ),
        Case(
            "host name at its ends",
            minimalText + "[CloudInit]\nHostname=-web",
            [
                "demo.guest:6:10: '-web' is not a host name; it must not begin or end with '-'"
            ]
        ),
        Case(
            "credentials",
            minimalText
                + "[Credential a]\nName=x:y\nFile=/srv/motd\n[Credential b]\n[Credential c]\nName=b\nFile=/srv/motd",
            [
                "demo.guest:6:6: 'x:y' is not the name of a credential; use letters, digits, '_', '.' and '-'",
                "demo.guest:8:1: [Credential b] needs File=",
                "demo.guest:10:6: the credential 'b' is also that of [Credential b]",
            ]
        ),
        Case(
            "too many credentials",
            minimalText + (0..<9).map { "[Credential c\($0)]\nFile=/srv/motd\n" }.joined(),
            [
                "demo.guest:21:1: this is credential 9, but a guest can have at most 8"
            ]
        ),
        Case(
            "path too long",
            minimalText + "[Guest]\nQEMU=/" + String(repeating: "q", count: 4095),
            [
                "demo.guest:6:6: the path '/" + String(repeating: "q", count: 79)
                    + "…' is longer than the 4095 bytes that Linux allows"
            ]
        ),
        Case(
            "format",
            minimalText + "[Disk root]\nImage=/srv/root.qcow2\nFormat=vmdk",
            [
                "demo.guest:7:8: 'vmdk' is not supported; use 'raw' or 'qcow2'"
            ]
        ),
        Case(
            "boolean",
            minimalText + "[Disk root]\nImage=/srv/root.qcow2\nFormat=raw\nReadOnly=maybe",
            [
                "demo.guest:8:10: 'maybe' is neither yes nor no"
            ]
        ),
        Case(
            "serial",
            minimalText + "[Disk root]\nImage=/srv/root.qcow2\nFormat=raw\nSerial=a b",
            [
                "demo.guest:8:8: 'a b' is not a serial number; use letters, digits, '_', '.' and '-'"
            ]
        ),
        Case(
            "serial too long",
            minimalText + "[Disk root]\nImage=/srv/root.qcow2\nFormat=raw\nSerial=123456789012345678901",
            [
                "demo.guest:8:8: '123456789012345678901' is too long for a serial number; use at most 20 characters"
            ]
        ),
        Case(
            "image cannot be looked at",
            minimalText + "[Disk root]\nImage=/srv/secret/disk.raw\nFormat=raw",
            [
                "demo.guest:6:7: '/srv/secret/disk.raw' cannot be used: Permission denied"
            ]
        ),
        Case(
            "image is a directory",
            minimalText + "[Disk root]\nImage=/srv\nFormat=raw",
            [
                "demo.guest:6:7: '/srv' is a directory"
            ]
        ),
        Case(
            "image twice",
            minimalText
                + "[Disk a]\nImage=/srv/data.raw\nFormat=raw\n[Disk b]\nImage=/srv/data.raw\nFormat=raw\nReadOnly=yes",
            [
                "demo.guest:9:7: '/srv/data.raw' is also the image of [Disk a], and two disks would damage it; "
                    + "give each its own, or set ReadOnly=yes for both"
            ]
        ),
        Case(
            "image twice by a link",
            minimalText
                + "[Disk a]\nImage=/srv/data.raw\nFormat=raw\nReadOnly=yes\n[Disk b]\nImage=/srv/link.raw\nFormat=raw",
            [
                "demo.guest:10:7: '/srv/link.raw' is also the image of [Disk a], and two disks would damage it; "
                    + "give each its own, or set ReadOnly=yes for both"
            ]
        ),
        Case(
            "too many disks",
            minimalText
                + (0..<16).map { "[Disk n\($0)]\nImage=/srv/data.raw\nFormat=raw\nReadOnly=yes\n" }.joined(),
            [
                "demo.guest:65:1: this is disk 16, but a guest can have at most 15"
            ]
        ),
        Case(
            "disk bus",
            minimalText + "[Disk root]\nImage=/srv/root.qcow2\nFormat=raw\nBus=nvme",
            [
                "demo.guest:8:5: 'nvme' can't be used: QEMU 7.2 and 10.0 have no way to hand an NVMe disk over; "
                    + "use virtio-blk or virtio-scsi"
            ]
        ),
        Case(
            "what a disk can't be at the same time",
            minimalText
                + "[Disk root]\nImage=/srv/root.qcow2\nFormat=raw\nDevice=cdrom\nReadOnly=no\nAIO=native",
            [
                "demo.guest:8:8: a CD-ROM drive needs Bus=virtio-scsi: virtio-blk has none",
                "demo.guest:9:10: a CD-ROM is read-only; remove ReadOnly=",
                "demo.guest:10:5: AIO=native needs Cache=none or Cache=directsync: it works past the page cache only",
            ]
        ),
        Case(
            "network",
            minimalText
                + "[Network lan]\nType=bridge\nInterface=a/b\nBridge=a-very-long-name\nMACAddress=52:54:00:12:34\n"
                + "Queues=9\nVHost=maybe\nMTU=500",
            [
                "demo.guest:6:6: 'bridge' is not supported; use 'tap', 'macvtap' or 'user'",
                "demo.guest:7:11: 'a/b' is not a name for an interface; use at most 15 letters, digits, '_', '.' and '-'",
                "demo.guest:8:8: 'a-very-long-name' is not a name for an interface; use at most 15 letters, digits, "
                    + "'_', '.' and '-'",
                "demo.guest:9:12: '52:54:00:12:34' is not a MAC address; write it as in '52:54:00:12:34:56'",
                "demo.guest:10:8: '9' is out of range; use 1 to 8",
                "demo.guest:11:7: 'maybe' is not supported; use 'auto', 'yes' or 'no'",
                "demo.guest:12:5: '500' is out of range; use 576 to 65521",
            ]
        ),
        Case(
            "macvtap",
            minimalText
                + "[Network a]\nParent=\nType=macvtap\n[Network b]\nType=macvtap\nParent=a/b\nMode=open\nBridge=br0\n"
                + "[Network c]\nParent=eth0\n[Network d]\nType=user\nMode=vepa\n",
            [
                "demo.guest:7:6: a macvtap needs Parent=, the interface of the host that the guest is to be on",
                "demo.guest:10:8: 'a/b' is not a name for an interface; use at most 15 letters, digits, '_', '.' and '-'",
                "demo.guest:11:6: 'open' is not supported; use 'bridge', 'vepa', 'private' or 'passthru'",
                "demo.guest:12:8: warning: Bridge= has no effect without Type=tap",
                "demo.guest:14:8: warning: Parent= has no effect without Type=macvtap",
                "demo.guest:17:6: warning: Mode= has no effect without Type=macvtap",
            ]
        ),
        Case(
            "what macvtaps share",
            minimalText + "[Network a]\nType=macvtap\nParent=eth0\n[Network b]\nType=macvtap\nParent=eth0\n"
                + "Mode=passthru\n[Network c]\nType=macvtap\nParent=eth1\nInterface=eth1\n",
            [
                "demo.guest:11:6: 'eth0' is also the parent of [Network a], and one of the two would have it for itself by "
                    + "Mode=passthru",
                "demo.guest:15:11: 'eth1' can't be the interface and its parent",
            ]
        ),
        Case(
            "addresses of groups and of nobody",
            minimalText + "[Network a]\nMACAddress=01:00:5e:00:00:01\n[Network b]\nMACAddress=00:00:00:00:00:00",
            [
                "demo.guest:6:12: '01:00:5e:00:00:01' is not the address of one machine; its first octet must be even",
                "demo.guest:8:12: '00:00:00:00:00:00' is not the address of one machine; its first octet must be even",
            ]
        ),
        Case(
            "forward",
            minimalText + "[Network nat]\nType=user\nForward=tcp:2222\n[Network b]\nType=user\nForward=tcp:host:1:2\n"
                + "[Network c]\nType=user\nForward=udp:1:65536",
            [
                "demo.guest:7:9: 'tcp:2222' does not forward a port; write it as in 'tcp:2222:22' or 'tcp:0.0.0.0:8080:80'",
                "demo.guest:10:9: 'host' in 'tcp:host:1:2' is not an IPv4 address",
                "demo.guest:13:9: '65536' is out of range; use 1 to 65535",
            ]
        ),
        Case(
            "what networks share",
            minimalText
                + "[Network a]\nMACAddress=52:54:00:00:00:01\nInterface=tap0\nBridge=tap0\n"
                + "[Network b]\nMACAddress=52:54:00:00:00:01\nInterface=tap0\n"
                + "[Network c]\nType=user\nForward=tcp:22:22\n[Network d]\nType=user\nForward=tcp:22:22",
            [
                "demo.guest:7:11: 'tap0' can't be the interface and its bridge",
                "demo.guest:10:12: '52:54:00:00:00:01' is also the address of [Network a]; give each network its own, or "
                    + "remove MACAddress=",
                "demo.guest:11:11: 'tap0' is also the interface of [Network a]; give each network its own, or remove "
                    + "Interface=",
                "demo.guest:17:9: the port tcp 127.0.0.1:22 is forwarded twice, also by [Network c]",
            ]
        ),
        Case(
            "keys of another type of network",
            minimalText + "[Network a]\nForward=tcp:22:22\n[Network b]\nType=user\nBridge=br0\nQueues=2",
            [
                "demo.guest:6:9: warning: Forward= has no effect without Type=user",
                "demo.guest:9:8: warning: Bridge= has no effect without Type=tap",
                "demo.guest:10:8: warning: Queues= has no effect without Type=tap",
            ]
        ),
        Case(
            "too many networks",
            minimalText + (0..<7).map { "[Network n\($0)]\n" }.joined(),
            [
                "demo.guest:11:1: this is network 7, but a guest can have at most 6"
            ]
        ),
        Case(
            "too many queues",
            minimalText + (0..<3).map { "[Network n\($0)]\nQueues=8\n" }.joined(),
            [
                "demo.guest:10:8: with this, all networks together have more than 16 queues, which is what systemd can keep "
                    + "descriptors of"
            ]
        ),
        Case(
            "retain",
            minimalText + "[Console]\nRetain=65M",
            [
                "demo.guest:6:8: '65M' is out of range; use 64K to 64M"
            ]
        ),
        Case(
            "retain without a console",
            minimalText + "[Console]\nEnable=no\nRetain=1M",
            [
                "demo.guest:7:8: warning: Retain= has no effect, because the console is off by Enable=no"
            ]
        ),
        Case(
            "time span",
            minimalText + "[Handover]\nSaveTimeoutSec=5 parsecs\nLoadTimeoutSec=1min 30\nSyncTimeoutSec=s",
            [
                "demo.guest:6:16: '5 parsecs' is not a time span; write it as in '500ms', '5s' or '1min 30s'",
                "demo.guest:8:16: 's' is not a time span; write it as in '500ms', '5s' or '1min 30s'",
            ]
        ),
        Case(
            "time span out of range",
            minimalText
                + "[Handover]\nSaveTimeoutSec=99ms\nLoadTimeoutSec=11min\n[Stop]\nTimeoutSec=999999999999999999999w",
            [
                "demo.guest:6:16: '99ms' is out of range; use 100ms to 10min",
                "demo.guest:7:16: '11min' is out of range; use 100ms to 10min",
                "demo.guest:9:12: '999999999999999999999w' is out of range; use 1s to 1h",
            ]
        ),
        Case(
            "stop",
            minimalText + "[Stop]\nOnStop=hold",
            [
                "demo.guest:6:8: 'hold' is not supported; use 'poweroff'"
            ]
        ),
        Case(
            "crash",
            minimalText + "[Crash]\nOnCrash=reboot\nRestartLimitBurst=0\nRestartLimitIntervalSec=2d\nDump=maybe",
            [
                "demo.guest:6:9: 'reboot' is not supported; use 'fail' or 'restart'",
                "demo.guest:7:19: '0' is out of range; use 1 to 100",
                "demo.guest:7:19: warning: RestartLimitBurst= has no effect without OnCrash=restart",
                "demo.guest:8:25: '2d' is out of range; use 1s to 1d",
                "demo.guest:8:25: warning: RestartLimitIntervalSec= has no effect without OnCrash=restart",
                "demo.guest:9:6: 'maybe' is neither yes nor no",
            ]
        ),
        Case(
            "dump",
            minimalText + "[Crash]\nDump=yes\nDumpDirectory=/boot/vmlinuz\nDumpRetain=101",
            [
                "demo.guest:7:15: '/boot/vmlinuz' is not a directory",
                "demo.guest:8:12: '101' is out of range; use 1 to 100",
            ]
        ),
        Case(
            "no dump",
            minimalText + "[Crash]\nDump=no\nDumpDirectory=srv\nDumpRetain=1",
            [
                "demo.guest:7:15: 'srv' is not an absolute path; begin it with '/'",
                "demo.guest:7:15: warning: DumpDirectory= has no effect without Dump=yes",
                "demo.guest:8:12: warning: DumpRetain= has no effect without Dump=yes",
            ]
        ),
    ]
}
