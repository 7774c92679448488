#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TUNSETSTEERINGEBPF
#define TUNSETSTEERINGEBPF _IOR('T', 224, int)
#endif

_Static_assert(CLINUX_INTERFACE_NAME_SIZE == IFNAMSIZ, "the size of an interface's name");

int clinux_tap_open(void) { return open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC); }

int clinux_tap_attach(int fd, const char *name, int is_new) {
    struct ifreq request = {0};
    if (strlen(name) >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(request.ifr_name, name);
    int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | (is_new ? IFF_TUN_EXCL : 0);
    request.ifr_flags = (short)flags;
    return ioctl(fd, TUNSETIFF, &request);
}

int clinux_tap_query(int fd, char name[CLINUX_INTERFACE_NAME_SIZE], int *is_detached) {
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) < 0) return -1;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    name[IFNAMSIZ - 1] = 0;
    *is_detached = (request.ifr_flags & IFF_DETACH_QUEUE) != 0;
    return 0;
}

int clinux_tap_set_detached(int fd, int is_detached) {
    struct ifreq request = {0};
    request.ifr_flags = is_detached ? IFF_DETACH_QUEUE : IFF_ATTACH_QUEUE;
    return ioctl(fd, TUNSETQUEUE, &request);
}

int clinux_tap_get_header(int fd) {
    int size;
    return ioctl(fd, TUNGETVNETHDRSZ, &size) < 0 ? -1 : size;
}

int clinux_tap_set_header(int fd, int size) { return ioctl(fd, TUNSETVNETHDRSZ, &size); }

int clinux_tap_is_readable(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int count;
    do count = poll(&poll_fd, 1, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -1 : count > 0 && (poll_fd.revents & POLLIN);
}

int clinux_tap_steer(int fd, int position) {
    if (position < 0) {
        int none = -1;
        return ioctl(fd, TUNSETSTEERINGEBPF, &none);
    }
    // r0 = mark - base; if (r0 >= position) r0 = position; return r0
    struct bpf_insn program[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W,
         .dst_reg = BPF_REG_0,
         .src_reg = BPF_REG_1,
         .off = offsetof(struct __sk_buff, mark)},
        {.code = BPF_ALU | BPF_SUB | BPF_K, .dst_reg = BPF_REG_0, .imm = CLINUX_TAP_MARK},
        {.code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = BPF_REG_0, .imm = position, .off = 1},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = position},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attributes.insn_cnt = sizeof program / sizeof *program;
    attributes.insns = (uintptr_t)program;
    attributes.license = (uintptr_t)"GPL";
    int loaded = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
    if (loaded < 0) return -1;
    int result = ioctl(fd, TUNSETSTEERINGEBPF, &loaded), error = errno;
    close(loaded);
    errno = error;
    return result;
}
