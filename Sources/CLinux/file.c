#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

int clinux_open_path(const char *path) { return open(path, O_PATH | O_CLOEXEC); }

int clinux_is_proc(int fd) {
    struct statfs system;
    return fstatfs(fd, &system) < 0 ? -1 : system.f_type == PROC_SUPER_MAGIC;
}

int clinux_is_kernels(int fd) {
    struct statfs system;
    if (fstatfs(fd, &system) < 0) return -1;
    switch ((unsigned long)system.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
    case EFIVARFS_MAGIC:
    case BINFMTFS_MAGIC: return 1;
    default: return 0;
    }
}
