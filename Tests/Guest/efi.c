/*
 * Writes a UEFI variable again and again and reads it back. The first thing it says is what the variable held before:
 * what the boot before this one has written last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "guest.h"

#define DIRECTORY "/sys/firmware/efi/efivars/"
#define SECURE_BOOT DIRECTORY "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define COUNTER DIRECTORY "PerdureTest-5f0c9a5e-1d5a-4b86-9c4e-7d2f0a6b3c11"
/* Non-volatile, and accessible to the firmware and to the system that it has booted. */
#define ATTRIBUTES 7
#define PERIOD_NS (100 * NSEC_PER_MSEC)

struct __attribute__((packed)) variable {
    uint32_t attributes;
    uint64_t value;
};

/* Returns -1 where there is no such variable. */
static int64_t read_variable(const char *path, size_t size)
{
    struct variable variable = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, &variable, sizeof variable);

    if (fd >= 0)
        close(fd);
    return got == (ssize_t)(sizeof variable.attributes + size) ? (int64_t)variable.value : -1;
}

/* The kernel protects variables that it does not know. */
static int open_counter(void)
{
    int fd = open(COUNTER, O_RDONLY | O_CLOEXEC), flags = 0;

    if (fd >= 0) {
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
        close(fd);
    }
    return open(COUNTER, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
}

static void *count(void *unused)
{
    struct variable variable = {.attributes = ATTRIBUTES};
    int64_t before = read_variable(COUNTER, sizeof variable.value);
    int fd = open_counter();

    (void)unused;
    report("efi secure_boot=%lld before=%lld", (long long)read_variable(SECURE_BOOT, 1), (long long)before);
    if (fd < 0) {
        report("error efi open errno=%d", errno);
        return NULL;
    }
    for (variable.value = before < 0 ? 1 : before + 1;; variable.value++) {
        if (write(fd, &variable, sizeof variable) != sizeof variable)
            report("error efi write errno=%d", errno);
        else if (read_variable(COUNTER, sizeof variable.value) != (int64_t)variable.value)
            report("error efi counter=%llu reads otherwise", (unsigned long long)variable.value);
        else
            report("efi counter=%llu", (unsigned long long)variable.value);
        sleep_ns(PERIOD_NS);
    }
    return NULL;
}

void start_efi(void)
{
    if (!options.efi)
        return;
    load_module("efivarfs.ko");
    if (mount("efivarfs", "/sys/firmware/efi/efivars", "efivarfs", 0, NULL) < 0)
        report("error efi mount errno=%d", errno);
    else
        start_thread(count);
}
