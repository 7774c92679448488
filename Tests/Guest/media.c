/* Reads a read-only medium again and again, past the cache, and compares it with the first time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"

#define PIECE 65536
#define PERIOD_NS (200 * NSEC_PER_MSEC)

/* Returns the sum of the CRCs of all pieces, or -1. */
static int64_t read_all(int fd, char *buffer)
{
    int64_t sum = 0;
    off_t offset = 0;
    ssize_t got;

    while ((got = pread(fd, buffer, PIECE, offset)) > 0) {
        sum += crc32(buffer, (size_t)got);
        offset += got;
    }
    return got < 0 || !offset ? -1 : sum;
}

static void *compare(void *unused)
{
    int fd = open_device(options.media, O_RDONLY | O_DIRECT);
    char *buffer;
    int64_t first;

    (void)unused;
    if (fd < 0 || posix_memalign((void **)&buffer, 4096, PIECE) || (first = read_all(fd, buffer)) < 0) {
        atomic_fetch_add(&status.disk_errors, 1);
        report("media error open errno=%d", errno);
        return NULL;
    }
    report("media size=%lld crc=%lld", (long long)lseek(fd, 0, SEEK_END), (long long)first);
    for (uint64_t count = 1;; count++) {
        sleep_ns(PERIOD_NS);
        if (read_all(fd, buffer) != first) {
            atomic_fetch_add(&status.disk_errors, 1);
            report("media error read=%llu errno=%d", (unsigned long long)count, errno);
        } else {
            report("media read=%llu", (unsigned long long)count);
        }
    }
    return NULL;
}

void start_media(void)
{
    if (*options.media)
        start_thread(compare);
}
