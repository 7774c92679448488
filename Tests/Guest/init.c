/*
 * PID 1 of the test guest. Its main thread is the only one that writes to the console: one numbered line per
 * tick, each in one write() and each with a checksum, so that an observer sees every lost or doubled byte.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/klog.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define LINE_SIZE 256
#define QUEUE_SIZE 32

struct status status;
uint64_t boot_id;

static int console = -1, wake = -1;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static char queue[QUEUE_SIZE][LINE_SIZE];
static unsigned queued;

uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void sleep_ns(uint64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

void wake_reporter(void)
{
    uint64_t one = 1;
    if (write(wake, &one, sizeof one) < 0)
        abort();
}

static bool add_to_queue(const char *format, va_list arguments)
{
    pthread_mutex_lock(&queue_lock);
    bool fits = queued < QUEUE_SIZE;
    if (fits)
        vsnprintf(queue[queued++], LINE_SIZE, format, arguments);
    pthread_mutex_unlock(&queue_lock);
    return fits;
}

void report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_to_queue(format, arguments);
    va_end(arguments);
}

void report_all(const char *format, ...)
{
    va_list arguments;
    bool fits;

    do {
        va_start(arguments, format);
        fits = add_to_queue(format, arguments);
        va_end(arguments);
        if (!fits)
            sleep_ns(NSEC_PER_MSEC);
    } while (!fits);
}

void start_thread(void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL))
        report("error cannot start a thread");
}

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds the check and a newline; the whole line is one write. */
static void print(const char *format, ...)
{
    static char line[2 * LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line - 32, format, arguments);
    va_end(arguments);
    if (size > (int)sizeof line - 33)
        size = sizeof line - 33;
    /* A leading newline ends whatever the kernel wrote, and is not a part of the line. */
    char *start = *line == '\n' ? line + 1 : line;
    size += sprintf(line + size, " check=%08x\n", crc32(start, line + size - start));
    if (write(console, line, size) != size)
        abort();
}

static void print_queue(void)
{
    pthread_mutex_lock(&queue_lock);
    for (unsigned i = 0; i < queued; i++)
        print("perdure-guest %s", queue[i]);
    queued = 0;
    pthread_mutex_unlock(&queue_lock);
}

static void __attribute__((noreturn)) end(const char *what, int command)
{
    print_queue();
    print("perdure-guest %s", what);
    tcdrain(console);
    stop_networks();
    sync();
    reboot(command);
    abort();
}

static void open_console(void)
{
    struct termios settings;

    console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (console < 0)
        abort();
    tcgetattr(console, &settings);
    cfmakeraw(&settings);
    tcsetattr(console, TCSANOW, &settings);
}

static void wait_until(uint64_t deadline)
{
    for (;;) {
        uint64_t now = monotonic_ns();
        /* Also where it is always late. */
        if (atomic_load(&power_button_pressed))
            end("powering off", RB_POWER_OFF);
        if (now >= deadline)
            return;
        struct timespec left = {(deadline - now) / 1000000000, (deadline - now) % 1000000000};
        struct pollfd event = {.fd = wake, .events = POLLIN};
        if (ppoll(&event, 1, &left, NULL) > 0 && atomic_load(&power_button_pressed))
            end("powering off", RB_POWER_OFF);
    }
}

static void print_ready(uint64_t paddr)
{
    print("\nperdure-guest ready heartbeat_paddr=0x%llx heartbeat_magic=0x%llx boot=%016llx",
          (unsigned long long)paddr, HEARTBEAT_MAGIC, (unsigned long long)boot_id);
}

static void __attribute__((noreturn)) tick(void)
{
    uint64_t period = options.tick_ms * NSEC_PER_MSEC, next = monotonic_ns(), paddr = heartbeat_paddr();

    print_ready(paddr);
    for (unsigned long n = 1;; n++) {
        print_queue();
        print("tick=%06lu boot=%016llx sweeps=%llu pages=%llu ram_errors=%llu disk_records=%llu disk_errors=%llu "
              "written_mib=%llu",
              n, (unsigned long long)boot_id, atomic_load(&status.sweeps), atomic_load(&status.pages),
              atomic_load(&status.ram_errors), atomic_load(&status.disk_records), atomic_load(&status.disk_errors),
              atomic_load(&status.written_mib));
        if (options.poweroff_after && n >= options.poweroff_after)
            end("powering off", RB_POWER_OFF);
        if (options.reboot_after && n >= options.reboot_after)
            end("rebooting", RB_AUTOBOOT);
        uint64_t now_at = heartbeat_paddr();
        if (now_at != paddr)
            report("error heartbeat page moved from 0x%llx to 0x%llx", (unsigned long long)paddr,
                   (unsigned long long)now_at);
        paddr = now_at;
        next += period;
        uint64_t now = monotonic_ns();
        if (now > next)
            next = now;
        wait_until(next);
    }
}

int main(void)
{
    mount_filesystems();
    /* Only what ends the kernel may still reach the console. */
    klogctl(8, NULL, 1);
    open_console();
    wake = eventfd(0, EFD_CLOEXEC);
    if (wake < 0 || getrandom(&boot_id, sizeof boot_id, 0) != sizeof boot_id)
        abort();
    const char *unknown = parse_command_line();
    if (unknown) {
        report("error unknown option or value '%.100s'", unknown);
        end("powering off", RB_POWER_OFF);
    }
    load_modules();
    start_heartbeat();
    if (!heartbeat_paddr())
        report("error the heartbeat page has no known address");
    start_ram_check();
    start_disk();
    start_media();
    start_echo();
    start_seed();
    start_efi();
    start_watchdog();
    start_tpm();
    start_dimm();
    start_agent();
    start_networks();
    start_power_button();
    tick();
}
