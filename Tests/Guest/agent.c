/*
 * What stands for a guest agent: answers guest-sync and guest-ping as it does, sends each other line back that it
 * receives on the agent's channel, and does what some of them say. And the devices that are only read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* It has been told to answer nothing more: at once, or after the next guest-ping. */
static bool is_mute, last_ping;

#define PERIOD_NS (200 * NSEC_PER_MSEC)

static void obey(const char *line)
{
    if (!strcmp(line, "mute")) {
        is_mute = true;
    } else if (!strcmp(line, "last ping")) {
        last_ping = true;
    } else if (!strcmp(line, "expire")) {
        let_watchdog_expire();
    } else if (!strcmp(line, "panic")) {
        int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "c", 1) != 1)
            report("error cannot panic: %m");
    }
}

/* What is sent back for a line, without its end. */
static const char *answer(const char *line)
{
    static char text[64];
    const char *id = strstr(line, "\"guest-sync\"") ? strstr(line, "\"id\":") : NULL;

    if (id) {
        snprintf(text, sizeof text, "{\"return\": %lld}", strtoll(id + 5, NULL, 10));
        return text;
    }
    return strstr(line, "\"guest-ping\"") ? "{\"return\": {}}" : line;
}

static bool send_all(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t sent = write(fd, text, size);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
            continue;
        }
        if (sent <= 0)
            return false;
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void *echo(void *unused)
{
    static char line[65536];
    size_t size = 0;
    uint64_t count = 0;

    (void)unused;
    int fd = open_device("/dev/vport*p1", O_RDWR | O_NONBLOCK);
    if (fd < 0) {
        report("error no agent port: %m");
        return NULL;
    }
    report("agent listens");
    for (;;) {
        struct pollfd input = {.fd = fd, .events = POLLIN};
        poll(&input, 1, -1);
        if (input.revents & POLLHUP) {
            report("error agent port hung up");
            return NULL;
        }
        ssize_t got = read(fd, line + size, sizeof line - size);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got <= 0) {
            report("error agent read=%zd errno=%d", got, errno);
            return NULL;
        }
        size += (size_t)got;
        for (char *end; (end = memchr(line, '\n', size));) {
            size_t length = (size_t)(end - line) + 1;
            *end = 0;
            const char *reply = answer(line);
            if (!is_mute && !(send_all(fd, reply, strlen(reply)) && send_all(fd, "\n", 1))) {
                report("error agent write errno=%d", errno);
                return NULL;
            }
            if (last_ping && strstr(line, "\"guest-ping\""))
                is_mute = true;
            obey(line);
            if (++count % 100 == 0)
                report("agent lines=%llu", (unsigned long long)count);
            memmove(line, end + 1, size -= length);
        }
        if (size == sizeof line)
            size = 0;
    }
}

static void *draw(void *unused)
{
    uint64_t last[4] = {0}, now[4];
    int fd = open_device("/dev/hwrng", O_RDONLY);

    (void)unused;
    for (uint64_t count = 1;; count++) {
        size_t got = 0;
        while (fd >= 0 && got < sizeof now) {
            ssize_t part = read(fd, (char *)now + got, sizeof now - got);
            if (part <= 0)
                break;
            got += (size_t)part;
        }
        if (got < sizeof now || !memcmp(now, last, sizeof now)) {
            report("error random numbers: got=%zu errno=%d", got, errno);
            return NULL;
        }
        memcpy(last, now, sizeof now);
        report("rng read=%llu", (unsigned long long)count);
        sleep_ns(PERIOD_NS);
    }
}

static void look_for_pvpanic(void)
{
    glob_t found;
    char text[16] = "";
    int fd = -1;

    if (glob("/sys/bus/platform/devices/QEMU0001:*/capability", 0, NULL, &found) == 0)
        fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        report("error no pvpanic: %m");
    else
        report("pvpanic capability=%s", strtok(text, "\n"));
    if (fd >= 0)
        close(fd);
}

void start_agent(void)
{
    if (options.agent)
        start_thread(echo);
    if (options.rng)
        start_thread(draw);
    if (options.pvpanic)
        look_for_pvpanic();
}
