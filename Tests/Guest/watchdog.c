/* Feeds an i6300esb, for which the guest's kernel has no driver, by its registers. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PERIOD_NS (200 * NSEC_PER_MSEC)
#define FEEDING_SECONDS 30
#define EXPIRY_SECONDS 1

/* Registers in memory, and in the PCI configuration. */
enum { TIMER1 = 0x00, TIMER2 = 0x04, RELOAD = 0x0c };
enum { COMMAND = 0x04, CONFIG = 0x60, LOCK = 0x68 };

static volatile uint8_t *registers;
static atomic_bool is_to_expire;

static void unlock(void)
{
    *(volatile uint16_t *)(registers + RELOAD) = 0x80;
    *(volatile uint16_t *)(registers + RELOAD) = 0x86;
}

static void feed(void)
{
    unlock();
    *(volatile uint16_t *)(registers + RELOAD) = 0x100;
}

/* Two stages, each of half the time; the unit is about a millisecond. */
static void set_seconds(unsigned seconds)
{
    unlock();
    *(volatile uint32_t *)(registers + TIMER1) = seconds << 9;
    unlock();
    *(volatile uint32_t *)(registers + TIMER2) = seconds << 9;
    feed();
}

static bool is_watchdog(const char *directory)
{
    char path[256], text[16] = "";
    snprintf(path, sizeof path, "%s/device", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool found = fd >= 0 && read(fd, text, sizeof text - 1) > 0 && !strncmp(text, "0x25ab", 6);

    if (fd >= 0)
        close(fd);
    return found;
}

static bool set_up(const char *directory)
{
    char path[256];
    uint16_t command = 0, config = 0x0003;
    uint8_t enable = 0x02;

    snprintf(path, sizeof path, "%s/config", directory);
    int pci = open(path, O_RDWR | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/resource0", directory);
    int resource = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (pci < 0 || resource < 0 || pread(pci, &command, 2, COMMAND) != 2)
        return false;
    command |= 0x2;
    registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, resource, 0);
    if (registers == MAP_FAILED || pwrite(pci, &command, 2, COMMAND) != 2 || pwrite(pci, &config, 2, CONFIG) != 2)
        return false;
    set_seconds(FEEDING_SECONDS);
    return pwrite(pci, &enable, 1, LOCK) == 1;
}

void let_watchdog_expire(void) { atomic_store(&is_to_expire, true); }

static void *run(void *unused)
{
    glob_t devices;
    bool found = false;

    (void)unused;
    if (glob("/sys/bus/pci/devices/*", 0, NULL, &devices) == 0)
        for (size_t i = 0; i < devices.gl_pathc && !found; i++)
            found = is_watchdog(devices.gl_pathv[i]) && set_up(devices.gl_pathv[i]);
    if (!found) {
        report("error no watchdog: %m");
        return NULL;
    }
    for (uint64_t count = 1; !atomic_load(&is_to_expire); count++) {
        feed();
        /* Elsewhere, or gone, the register reads otherwise. */
        if (*(volatile uint32_t *)(registers + TIMER1) == 0xffffffff)
            report("error watchdog does not answer");
        report("watchdog fed=%llu", (unsigned long long)count);
        sleep_ns(PERIOD_NS);
    }
    report("watchdog left to expire");
    set_seconds(EXPIRY_SECONDS);
    return NULL;
}

void start_watchdog(void)
{
    if (options.watchdog)
        start_thread(run);
}
