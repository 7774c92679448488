/* A counter at a fixed guest-physical address, for an observer who maps the guest's RAM from outside. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

struct heartbeat {
    uint64_t magic;
    atomic_ullong counter;
    uint64_t boot;
};

static struct heartbeat *page;

uint64_t heartbeat_paddr(void)
{
    static int pagemap = -1;
    uint64_t entry = 0;

    if (pagemap < 0)
        pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (!page || pread(pagemap, &entry, sizeof entry, (uintptr_t)page / 4096 * sizeof entry) != sizeof entry)
        return 0;
    bool present = entry >> 63;
    return present ? (entry & ((1ULL << 55) - 1)) * 4096 : 0;
}

static void *beat(void *unused)
{
    struct sched_param priority = {.sched_priority = 50};
    uint64_t period = options.heartbeat_us * 1000ULL, next = monotonic_ns();

    (void)unused;
    sched_setscheduler(0, SCHED_FIFO, &priority);
    for (;;) {
        atomic_fetch_add_explicit(&page->counter, 1, memory_order_relaxed);
        next += period;
        /* Beats that were missed stay missed: an observer must see the gap, not a burst that hides it. */
        uint64_t now = monotonic_ns();
        if (now > next)
            next = now + period;
        struct timespec deadline = {next / 1000000000, next % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
    }
    return NULL;
}

void start_heartbeat(void)
{
    /* mlock keeps a page from being swapped, but compaction may still move it. */
    int fd = open("/proc/sys/vm/compact_unevictable_allowed", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        report("error cannot pin the heartbeat page: %m");
    if (fd >= 0)
        close(fd);

    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, 4096, MADV_NOHUGEPAGE) || mlock(page, 4096)) {
        report("error no heartbeat page: %m");
        page = NULL;
        return;
    }
    page->boot = boot_id;
    page->magic = HEARTBEAT_MAGIC;
    start_thread(beat);
}
