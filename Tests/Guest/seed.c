/* Says what is on the CD-ROM for cloud-init, and which credentials SMBIOS brings. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#define LARGEST (2 << 20)
#define CREDENTIAL "io.systemd.credential.binary:"

static char contents[LARGEST];

static ssize_t read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = 0, got;

    if (fd < 0)
        return -1;
    while ((got = read(fd, contents + size, LARGEST - size)) > 0)
        size += got;
    close(fd);
    return got < 0 ? -1 : size;
}

static void *look(void *unused)
{
    const char *names[] = {"meta-data", "user-data", "network-config"};
    int fd = open_device("/dev/sr0", O_RDONLY);
    ssize_t size;

    (void)unused;
    if (fd >= 0)
        close(fd);
    load_module("isofs.ko");
    mkdir("/seed", 0755);
    if (fd < 0 || mount("/dev/sr0", "/seed", "iso9660", MS_RDONLY, NULL) < 0)
        report("error seed mount errno=%d", errno);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/seed/%s", names[i]);
        if ((size = read_file(path)) >= 0)
            report("seed %s size=%zd crc=%08x", names[i], size, crc32(contents, (size_t)size));
    }
    if ((size = read_file("/sys/firmware/dmi/tables/DMI")) < 0)
        report("error seed smbios errno=%d", errno);
    for (char *at = contents; size > 0 && (at = memmem(at, contents + size - at, CREDENTIAL, strlen(CREDENTIAL))); at++)
        report("seed credential %.150s", at + strlen(CREDENTIAL));
    return NULL;
}

void start_seed(void)
{
    if (options.seed)
        start_thread(look);
}
