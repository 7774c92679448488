#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t clinux_spawn_agent(const char *path, int is_fallback, int *ready) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    char number[12];
    snprintf(number, sizeof number, "%d", ends[1]);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent) _exit(127);
        if (fcntl(ends[1], F_SETFD, 0) < 0) _exit(127);
        execl(path, path, "--notify-fd", number, is_fallback ? "--fallback" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    int error = errno;
    close(ends[1]);
    if (pid < 0) close(ends[0]);
    else *ready = ends[0];
    errno = error;
    return pid;
}
