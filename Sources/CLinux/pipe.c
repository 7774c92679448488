#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

// Opening one end for both is what Linux allows of a pipe (fifo(7)): its reader never sees an end of input.
int clinux_pipe(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return both;
}
