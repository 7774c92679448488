#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char OPEN = 'o';

static void report_and_exit(int failure) {
    int error = errno;
    // Nobody is left to tell where this fails.
    if (write(failure, &error, sizeof error) < 0) _exit(127);
    _exit(127);
}

static int change_mounts(uint64_t set, uint64_t propagation) {
    struct mount_attr attributes = {.attr_set = set, .propagation = propagation};
    return (int)syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof attributes);
}

// What is open can be written to all the same, and so can devices. The sockets of all services are in /run.
static int leave_namespaces(int network) {
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | (network ? 0 : CLONE_NEWNET)) < 0) return -1;
    if (change_mounts(0, MS_PRIVATE) < 0) return -1;
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=4k") < 0) return -1;
    return change_mounts(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0);
}

// Also when the program is executed.
static int keep_only(unsigned capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    data[CAP_TO_INDEX(capability)].effective = CAP_TO_MASK(capability);
    data[CAP_TO_INDEX(capability)].permitted = CAP_TO_MASK(capability);
    data[CAP_TO_INDEX(capability)].inheritable = CAP_TO_MASK(capability);
    if (syscall(SYS_capset, &header, data) < 0) return -1;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

// The kernel's calls: the C library's make all threads follow, which are not there after a fork.
static int become_user(const struct clinux_spawn *request) {
    uid_t user = request->user;
    if (request->locks_memory && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -1;
    if (syscall(SYS_setgroups, request->group_count, request->groups) < 0) return -1;
    if (syscall(SYS_setresgid, user, user, user) < 0) return -1;
    if (syscall(SYS_setresuid, user, user, user) < 0) return -1;
    return request->locks_memory ? keep_only(CAP_IPC_LOCK) : 0;
}

static int confine(const struct clinux_spawn *request) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0) return -1;
    if (request->user != 0 && (leave_namespaces(request->network) < 0 || become_user(request) < 0)) return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

// Puts what is inherited at the numbers that it is to have, whatever is there now.
static int renumber(const struct clinux_spawn *request, int *failure) {
    int base = 3;
    for (size_t index = 0; index < request->inherited_count; index++)
        if (request->numbers[index] >= base) base = request->numbers[index] + 1;
    int moved = fcntl(*failure, F_DUPFD_CLOEXEC, base);
    if (moved < 0) return -1;
    *failure = moved;
    for (size_t index = 0; index < request->inherited_count; index++) {
        request->scratch[index] = fcntl(request->inherited[index], F_DUPFD_CLOEXEC, base);
        if (request->scratch[index] < 0) return -1;
    }
    for (size_t index = 0; index < request->inherited_count; index++)
        if (dup2(request->scratch[index], request->numbers[index]) < 0) return -1;
    return 0;
}

// Between fork and exec only async-signal-safe calls are allowed: other threads' locks may be held.
static void become(const struct clinux_spawn *request, int gate, int failure) {
    sigset_t none;
    sigemptyset(&none);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(signal, &standard, NULL);
    }
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) report_and_exit(failure);
    if (setsid() < 0) report_and_exit(failure);

    char byte;
    ssize_t got;
    do got = read(gate, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1 || byte != OPEN) _exit(0);

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) report_and_exit(failure);
    if (dup2(null, 0) < 0 || dup2(request->standard_output, 1) < 0 || dup2(request->standard_output, 2) < 0)
        report_and_exit(failure);
    if (renumber(request, &failure) < 0) report_and_exit(failure);
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) report_and_exit(failure);
    for (size_t index = 0; index < request->inherited_count; index++)
        if (fcntl(request->numbers[index], F_SETFD, 0) < 0) report_and_exit(failure);
    if (confine(request) < 0) report_and_exit(failure);
    execve(request->path, request->argv, request->envp);
    report_and_exit(failure);
}

pid_t clinux_spawn_gated(const struct clinux_spawn *request, int *gate, int *failure) {
    int gate_pipe[2], failure_pipe[2];
    if (pipe2(gate_pipe, O_CLOEXEC) < 0) return -1;
    if (pipe2(failure_pipe, O_CLOEXEC) < 0) {
        int error = errno;
        close(gate_pipe[0]);
        close(gate_pipe[1]);
        errno = error;
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(gate_pipe[1]);
        close(failure_pipe[0]);
        become(request, gate_pipe[0], failure_pipe[1]);
    }
    int error = errno;
    close(gate_pipe[0]);
    close(failure_pipe[1]);
    if (pid < 0) {
        close(gate_pipe[1]);
        close(failure_pipe[0]);
        errno = error;
        return -1;
    }
    *gate = gate_pipe[1];
    *failure = failure_pipe[0];
    return pid;
}

int clinux_open_gate(int gate) { return write(gate, &OPEN, 1) == 1 ? 0 : -1; }
