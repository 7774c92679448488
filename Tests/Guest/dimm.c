/* Takes memory in that is plugged while the guest runs, and rewrites and checks some of it all the time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PERIOD_NS (100 * NSEC_PER_MSEC)
#define PAGES (48U << 8)
#define PAGE_WORDS (4096 / sizeof(uint64_t))
/* Where a machine of less than 2 GiB puts what is plugged. */
#define FIRST_ADDRESS (1ULL << 32)

/* Returns how many pieces there are, offline ones taken in. Only movable memory can be unplugged again. */
static unsigned take_in(void)
{
    glob_t found;
    unsigned count = 0;

    if (glob("/sys/devices/system/memory/memory*/state", 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char state[16] = "";
        int fd = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, state, sizeof state - 1) > 0) {
            count++;
            if (!strncmp(state, "offline", 7) && write(fd, "online_movable", 14) != 14)
                report("dimm not online yet: %m");
        }
        close(fd);
    }
    globfree(&found);
    return count;
}

/* How many of the pages are in memory that was plugged. */
static unsigned plugged_pages(const uint64_t *memory)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    unsigned count = 0;

    for (unsigned page = 0; fd >= 0 && page < PAGES; page++) {
        uint64_t entry = 0;
        off_t place = (off_t)(((uintptr_t)memory / 4096 + page) * sizeof entry);
        if (pread(fd, &entry, sizeof entry, place) == sizeof entry)
            count += (entry & ((1ULL << 55) - 1)) * 4096 >= FIRST_ADDRESS;
    }
    if (fd >= 0)
        close(fd);
    return count;
}

static void sweep(uint64_t *memory, uint64_t number)
{
    for (unsigned page = 0; page < PAGES; page++) {
        uint64_t *first = memory + page * PAGE_WORDS, *last = first + PAGE_WORDS - 1;
        uint64_t old = number ? number - 1 + ((uint64_t)page << 32) : 0;
        if (*first != old || *last != old) {
            atomic_fetch_add(&status.ram_errors, 1);
            report("error dimm page=%u", page);
        }
        *first = *last = number + ((uint64_t)page << 32);
    }
}

static void *watch(void *unused)
{
    unsigned first = take_in(), last = first;
    uint64_t *memory = NULL, sweeps = 0;

    (void)unused;
    report("dimm pieces=%u", first);
    for (;; sleep_ns(PERIOD_NS)) {
        unsigned now = take_in();
        if (now != last)
            report("dimm pieces=%u", now);
        last = now;
        /* Memory that was just taken in: by now it is what is given out first. */
        if (now > first && !memory) {
            memory = mmap(NULL, PAGES * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory == MAP_FAILED) {
                report("error dimm: %m");
                return NULL;
            }
        }
        if (memory) {
            sweep(memory, sweeps++);
            report("dimm sweeps=%llu plugged=%u of %u", (unsigned long long)sweeps, plugged_pages(memory), PAGES);
        }
    }
}

void start_dimm(void)
{
    if (options.dimm)
        start_thread(watch);
}
