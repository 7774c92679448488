import SystemTestSupport

/// A program that can be given as QEMU=, is QEMU when it is asked what it can do, and as a VM process tries whatever it
/// should not be able to do. What came of it is written to the guest's console.
struct StandIn {
    /// Another guest that runs, and its VM process.
    let other: RunningGuest
    let vm: Int32

    static let path = "/usr/local/bin/qemu-stand-in"
    static let port = 7007

    /// What is tried, in Perl, by what it is called in docs/security.md. Each succeeds by returning something true.
    private var attempts: [(String, String)] {
        let name = other.name
        return [
            ("become root", "syscall(117, 0, 0, 0) == 0"),
            ("read /etc/shadow", "open(my $f, '<', '/etc/shadow')"),
            ("read another guest's disk", "open(my $f, '<', '\(other.plan.image)')"),
            ("write another guest's disk", "open(my $f, '+<', '\(other.plan.image)')"),
            ("see another guest's control socket", "-e '/run/perdure/\(name)/control'"),
            ("connect to another guest's supervisor", "unix('/run/perdure/\(name)/control')"),
            ("connect to the own supervisor", "unix('/run/perdure/web/control')"),
            ("connect to systemd", "unix('/run/systemd/private')"),
            ("connect to the system bus", "unix('/run/dbus/system_bus_socket')"),
            ("connect to the journal", "unix('/run/systemd/journal/stdout')"),
            ("list another guest's descriptors", "glob('/proc/\(vm)/fd/*')"),
            ("read another guest's memory", "open(my $f, '<', '/proc/\(vm)/mem')"),
            ("fetch another guest's RAM", "pidfd(\(vm)) && grep { syscall(438, $pidfd, $_, 0) >= 0 } 0 .. 40"),
            ("trace another guest's VM process", "syscall(101, 0x4206, \(vm), 0, 0) == 0"),
            ("trace the supervisor", "syscall(101, 0x4206, $supervisor, 0, 0) == 0"),
            ("kill another guest's VM process", "kill(0, \(vm))"),
            ("kill the supervisor", "kill(0, $supervisor)"),
            ("connect to the supervisor's helper", "unix('/run/perdure-helper', SOCK_SEQPACKET)"),
            ("trace the supervisor's helper", "syscall(101, 0x4206, $helper, 0, 0) == 0"),
            ("kill the supervisor's helper", "kill(0, $helper)"),
            ("make a user namespace", "syscall(272, 0x10000000) == 0"),
            ("make a mount namespace", "syscall(272, 0x00020000) == 0"),
            ("make a network namespace", "syscall(272, 0x40000000) == 0"),
            (
                "enter the host's network",
                "open(my $f, '<', '/proc/1/ns/net') or return; syscall(308, fileno($f), 0) == 0"
            ),
            ("mount a file system", "my ($t, $d) = ('tmpfs', '/mnt'); syscall(165, $t, $d, $t, 0, 0) == 0"),
            (
                "make a file system writable",
                "my ($n, $d) = ('x', '/'); syscall(165, $n, $d, $n, 0x1020, 0) == 0"
            ),
            ("write to /tmp", "open(my $f, '>', '/tmp/x')"),
            ("write to /var/tmp", "open(my $f, '>', '/var/tmp/x')"),
            ("write to /dev/shm", "open(my $f, '>', '/dev/shm/x')"),
            ("write to /run", "open(my $f, '>', '/run/x')"),
            ("connect to the host over TCP", "tcp()"),
            ("connect to an abstract socket of the host", "unix(\"\\0perdure-test\")"),
            ("open /dev/kvm without Accelerator=kvm", "open(my $f, '+<', '/dev/kvm')"),
            ("open /dev/mem", "open(my $f, '<', '/dev/mem')"),
            ("open /dev/net/tun, which everybody may", "open(my $f, '+<', '/dev/net/tun')"),
            ("open /dev/fuse, which everybody may", "open(my $f, '+<', '/dev/fuse')"),
            ("leave a core dump", "(grep { /^Max core file size +[1-9u]/ } lines('/proc/self/limits'))"),
            ("have a capability", "(grep { /^Cap(Eff|Prm|Inh|Amb):\\s+0*[1-9a-f]/ } lines('/proc/self/status'))"),
            ("gain privileges by a program", "(grep { /^NoNewPrivs:\\s+0/ } lines('/proc/self/status'))"),
        ]
    }

    var names: [String] { attempts.map(\.0) }

    func install() async throws {
        let lines = attempts.map { "try(q{\($0)}, sub { \($1) });" }.joined(separator: "\n")
        let script = #"""
            #!/usr/bin/perl
            use strict;
            use Socket;
            if ("@ARGV" =~ /-M none/) { exec '/usr/bin/qemu-system-x86_64', @ARGV }
            my ($console) = "@ARGV" =~ m{logfile=/proc/self/fd/(\d+)} or die;
            open(my $log, '>>&=', $console) or die;
            $log->autoflush(1);
            my $helper = getppid();
            my ($supervisor) = grep { (lines("/proc/$_/cmdline"))[0] =~ /\0supervise\0web\0/ }
                map { m{(\d+)} && 0 + $1 } glob('/proc/[0-9]*');
            my $pidfd;
            sub pidfd { $pidfd = syscall(434, $_[0], 0); $pidfd >= 0 }
            sub lines { open(my $f, '<', $_[0]) or return ''; <$f> }
            sub unix { socket(my $s, AF_UNIX, $_[1] // SOCK_STREAM, 0) or return; connect($s, sockaddr_un($_[0])) }
            sub tcp {
                socket(my $s, AF_INET, SOCK_STREAM, 0) or return;
                connect($s, sockaddr_in(\#(Self.port), inet_aton('127.0.0.1')))
            }
            sub try {
                my ($name, $attempt) = @_;
                # What one changes for itself is not there for the next.
                my $child = fork // die;
                if ($child) { waitpid($child, 0); return }
                $! = 0;
                my $result = $attempt->() ? 'possible' : 'refused';
                print $log "$result: $name: $!\n";
                exit;
            }
            \#(lines)
            print $log "done\n";
            sleep unless $ARGV[0] eq '--once';

            """#
        try await other.system.write(Self.path, script)
        try await other.system.run(["chmod", "755", Self.path])
    }
}
