/* What PID 1 does before the guest's own work: filesystems, modules, options. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

struct options options = {
    .ram_mib = 64,
    .duty_percent = 30,
    .tick_ms = 50,
    .heartbeat_us = 1000,
    .disk_ms = 50,
    .writer_mib = 64,
};

void mount_filesystems(void)
{
    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
}

void load_module(const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        report("error cannot load module %s: %m", name);
    if (fd >= 0)
        close(fd);
}

void load_modules(void)
{
    FILE *list = fopen("/modules/load", "r");
    char name[128];

    if (!list) {
        report("error no list of modules: %m");
        return;
    }
    while (fscanf(list, "%127s", name) == 1)
        load_module(name);
    fclose(list);
}

static bool parse_unsigned(const char *text, unsigned *value, unsigned min, unsigned max)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end || number < min || number > max)
        return false;
    *value = number;
    return true;
}

static bool parse_option(const char *name, const char *value)
{
    const struct {
        const char *name;
        unsigned *value, min, max;
    } numbers[] = {
        {"ram", &options.ram_mib, 0, 1U << 20},
        {"duty", &options.duty_percent, 1, 100},
        {"tick_ms", &options.tick_ms, 1, 60000},
        {"heartbeat_us", &options.heartbeat_us, 100, 1000000},
        {"disk_ms", &options.disk_ms, 0, 60000},
        {"writer_mib", &options.writer_mib, 1, 1U << 20},
        {"poweroff_after", &options.poweroff_after, 0, ~0U},
        {"reboot_after", &options.reboot_after, 0, ~0U},
    };
    unsigned flag;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name))
            return parse_unsigned(value, numbers[i].value, numbers[i].min, numbers[i].max);
    if (!strcmp(name, "disk"))
        return snprintf(options.disk, sizeof options.disk, "%s", value) < (int)sizeof options.disk;
    if (!strcmp(name, "media"))
        return snprintf(options.media, sizeof options.media, "%s", value) < (int)sizeof options.media;
    if (!strcmp(name, "networks"))
        return snprintf(options.networks, sizeof options.networks, "%s", value) < (int)sizeof options.networks;
    const struct {
        const char *name;
        bool *value;
    } flags[] = {
        {"writer", &options.writer}, {"echo", &options.echo},   {"ignore_power_button", &options.ignore_power_button},
        {"rng", &options.rng},       {"agent", &options.agent}, {"watchdog", &options.watchdog},
        {"tpm", &options.tpm},
        {"efi", &options.efi},       {"dimm", &options.dimm},   {"pvpanic", &options.pvpanic},
        {"seed", &options.seed},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!strcmp(name, flags[i].name))
            return parse_unsigned(value, &flag, 0, 1) && (*flags[i].value = flag, true);
    return false;
}

const char *parse_command_line(void)
{
    static char line[4096];
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);

    if (fd >= 0)
        close(fd);
    line[size > 0 ? size : 0] = 0;
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        if (strncmp(word, "perdure.", 8))
            continue;
        char *equals = strchr(word, '=');
        if (!equals)
            return word;
        *equals = 0;
        bool known = parse_option(word + 8, equals + 1);
        *equals = '=';
        if (!known)
            return word;
    }
    return NULL;
}
