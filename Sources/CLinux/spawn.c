#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char OPEN = 'o';

static void report_and_exit(int failure) {
    int error = errno;
    // Nobody is left to tell where this fails.
    if (write(failure, &error, sizeof error) < 0) _exit(127);
    _exit(127);
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
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) report_and_exit(failure);
    for (size_t index = 0; index < request->inherited_count; index++)
        if (fcntl(request->inherited[index], F_SETFD, 0) < 0) report_and_exit(failure);
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
