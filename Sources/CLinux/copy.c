#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <unistd.h>

off_t clinux_seek_hole(int fd, off_t offset) { return lseek(fd, offset, SEEK_HOLE); }

ssize_t clinux_copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t count) {
    off_t in = from_offset, out = to_offset;
    ssize_t copied = copy_file_range(from, &in, to, &out, count, 0);
    if (copied > 0) return copied;
    // Between file systems of different kinds it is refused.
    if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) return -1;
    if (lseek(to, to_offset, SEEK_SET) < 0) return -1;
    return sendfile(to, from, &from_offset, count);
}
