#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

_Static_assert(CLINUX_SEAL_SEAL == F_SEAL_SEAL, "seal values are the kernel's");
_Static_assert(CLINUX_SEAL_SHRINK == F_SEAL_SHRINK, "seal values are the kernel's");
_Static_assert(CLINUX_SEAL_GROW == F_SEAL_GROW, "seal values are the kernel's");
_Static_assert(CLINUX_SEAL_WRITE == F_SEAL_WRITE, "seal values are the kernel's");

int clinux_memfd_create(const char *name, unsigned huge_page) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (huge_page) flags |= MFD_HUGETLB | huge_page << MFD_HUGE_SHIFT;
    int fd = memfd_create(name, flags | MFD_EXEC);
    // Kernels before 6.3 do not know MFD_EXEC: there every memfd is executable-capable.
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, flags);
    return fd;
}

int clinux_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }

int clinux_get_seals(int fd) { return fcntl(fd, F_GET_SEALS); }

int clinux_punch_hole(int fd, off_t offset, off_t length) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

off_t clinux_seek_data(int fd, off_t offset) { return lseek(fd, offset, SEEK_DATA); }

long clinux_huge_page_size(int fd) {
    struct statfs status;
    if (fstatfs(fd, &status) < 0) return -1;
    return (unsigned long)status.f_type == HUGETLBFS_MAGIC ? (long)status.f_bsize : 0;
}

const int clinux_direct = O_DIRECT;
