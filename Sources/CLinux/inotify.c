#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

static int watch(const char *path, uint32_t events) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0) return -1;
    if (inotify_add_watch(fd, path, events) >= 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int clinux_watch_writes(const char *path) { return watch(path, IN_MODIFY); }

int clinux_watch_closes(const char *path) { return watch(path, IN_CLOSE_WRITE); }

int clinux_watch_directory(const char *path) {
    return watch(path, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR);
}
