/* Devices that are found a while after their driver was loaded, as SCSI's disks are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "guest.h"

#define DEVICE_DEADLINE_MS 30000

static int open_first(const char *pattern, int flags)
{
    glob_t found;
    int fd = -1;

    if (glob(pattern, 0, NULL, &found) == 0) {
        fd = open(found.gl_pathv[0], flags | O_CLOEXEC);
        globfree(&found);
    }
    return fd;
}

int open_device(const char *pattern, int flags)
{
    /* Watched before each try: a device that comes in between is not missed. */
    int watch = inotify_init1(IN_CLOEXEC), fd;
    struct pollfd created = {.fd = watch, .events = POLLIN};
    char events[4096];

    inotify_add_watch(watch, "/dev", IN_CREATE);
    while ((fd = open_first(pattern, flags)) < 0)
        if (poll(&created, 1, DEVICE_DEADLINE_MS) <= 0 || read(watch, events, sizeof events) < 0)
            break;
    close(watch);
    return fd;
}
