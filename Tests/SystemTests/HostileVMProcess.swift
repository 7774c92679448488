import SystemTestSupport

/// A program that can be given as QEMU=, is QEMU when it is asked what it can do, and as the next VM process of a handover
/// is after its supervisor. It maps the guest's RAM and answers all commands up to `moment`, and then does what `attack`
/// says.
struct HostileVMProcess: Sendable {
    let name: String
    /// The command that is answered with the attack.
    let moment: String
    /// Perl. `$id` is that of the command, `say_line` sends a line, `spew` sends something again and again.
    let attack: String
    /// A stable part of what the administrator is told.
    let reason: String

    private static let noMessage = "a line that is no QMP message"

    static let all = [
        // Before the first reply the rest of a line may come that another supervisor had begun to read.
        HostileVMProcess(
            name: "garbage",
            moment: "qmp_capabilities",
            attack: #"spew(join '', map { chr int rand 256 } 1 .. 65536)"#,
            reason: "qmp_capabilities"
        ),
        HostileVMProcess(
            name: "endless-line",
            moment: "qmp_capabilities",
            attack: #"spew('{' . ' ' x 65536)"#,
            reason: "a line of more than"
        ),
        HostileVMProcess(
            name: "deep-nesting",
            moment: "migrate-set-capabilities",
            attack: #"say_line('{"id":"' . $id . '","return":' . '[' x 1000000)"#,
            reason: noMessage
        ),
        HostileVMProcess(
            name: "many-values",
            moment: "migrate-set-capabilities",
            attack: #"while (1) { say_line('{"id":"' . $id . '","return":[' . '[],' x 330000 . '0]}') }"#,
            // What is said of a command that has no result is not looked at; the next one finds no end of it.
            reason: "query-cpus-fast"
        ),
        HostileVMProcess(
            name: "events",
            moment: "migrate-incoming",
            attack: #"spew(qq({"event":"STOP","timestamp":{"seconds":-9000000000000,"microseconds":1}}\n) x 500)"#,
            reason: "within"
        ),
        HostileVMProcess(
            name: "unknown-replies",
            moment: "migrate-incoming",
            attack: #"spew(qq({"return":{},"id":"x$id"}\n{"return":[],"id":"$id"}\n{"error":{"desc":"no"}}\n) x 500)"#,
            reason: "QEMU"
        ),
        HostileVMProcess(
            name: "wrong-types",
            moment: "migrate-incoming",
            attack: #"say_line('{"return":{},"id":["' . $id . '"]}')"#,
            reason: noMessage
        ),
        HostileVMProcess(
            name: "closed-monitor",
            moment: "migrate-incoming",
            attack: #"shutdown($monitor, 1)"#,
            reason: "closed its monitor"
        ),
        // It has "loaded" the guest, which was committed to it, and does not continue it.
        HostileVMProcess(
            name: "endless-refusal",
            moment: "cont",
            attack: #"say_line('{"id":"' . $id . '","error":{"class":"x","desc":"' . '\u001b[2J\n' x 90000 . '"}}')"#,
            reason: "refused 'cont'"
        ),
    ]

    private var script: String {
        #"""
        #!/usr/bin/perl
        use strict;
        if ("@ARGV" =~ /-M none/) { exec '/usr/bin/qemu-system-x86_64', @ARGV }
        my ($descriptor) = "@ARGV" =~ /socket,id=qmp,fd=(\d+)/ or die;
        my ($size, $ram) = "@ARGV" =~ m{size=(\d+),mem-path=/proc/self/fd/(\d+)} or die;
        # mmap(2), shared and writable.
        syscall(9, 0, $size + 0, 3, 1, $ram + 0, 0) > 0 or die;
        open(my $monitor, '+<&=', $descriptor) or die;
        $SIG{PIPE} = 'IGNORE';

        sub say_line { send_all("$_[0]\r\n") }
        sub send_all {
            my $text = shift;
            while (length $text) {
                my $sent = syswrite($monitor, $text);
                # Whoever does not want to hear any more is no reason to end.
                if (!defined $sent) { sleep }
                substr($text, 0, $sent) = '';
            }
        }
        sub spew { while (1) { send_all($_[0]) } }

        say_line('{"QMP":{"version":{},"capabilities":[]}}');
        while (my $line = <$monitor>) {
            my ($id) = $line =~ /"id":"([^"]+)"/ or next;
            my ($command) = $line =~ /"execute":"([^"]+)"/;
            if ($command eq '\#(moment)') {
                \#(attack);
                sleep;
            }
            # Of a CPU without CPUID there is nothing to compare.
            my %results = ('query-status' => '{"status":"paused","running":false}', 'query-cpus-fast' => '[]');
            my $result = $results{$command} // '{}';
            say_line(qq({"return":$result,"id":"$id"}));
            if ($command eq 'migrate-incoming') {
                say_line('{"event":"MIGRATION","data":{"status":"completed"},"timestamp":{"seconds":1,"microseconds":2}}');
            }
        }
        sleep;

        """#
    }

    /// Writes the program and returns its path.
    func install(on system: BootedSystem) async throws -> String {
        let path = "/usr/local/bin/qemu-hostile-\(name)"
        try await system.write(path, script)
        try await system.run(["chmod", "755", path])
        return path
    }
}
