#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_FDS = CLINUX_MOST_DESCRIPTORS };

int clinux_unix_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }

ssize_t clinux_send(int socket, const void *bytes, size_t count, const int *fds, size_t fd_count) {
    if (fd_count > MAX_FDS) {
        errno = EINVAL;
        return -1;
    }
    union {
        char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t clinux_receive(int socket, void *bytes, size_t count, int *fds, size_t *fd_count) {
    union {
        char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {.iov_base = bytes, .iov_len = count};
    // What there is no room for never gets a number here.
    size_t most = *fd_count < MAX_FDS ? *fd_count : MAX_FDS;
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * most)};
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    size_t room = *fd_count;
    *fd_count = 0;
    if (received < 0) return -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < here; index++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof fd);
            if (*fd_count < room) fds[(*fd_count)++] = fd;
            else close(fd);
        }
    }
    return received;
}

static int fill_address(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

static int close_failed(int fd) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int clinux_unix_listen(const char *path, int mode, gid_t group) {
    // Who sees the path finds somebody listening: it gets its name only then, and replaces an older socket in one step.
    char unfinished[sizeof((struct sockaddr_un *)0)->sun_path + 8];
    struct sockaddr_un address;
    if (snprintf(unfinished, sizeof unfinished, "%s.new", path) >= (int)sizeof unfinished) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (fill_address(&address, unfinished) < 0) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    // The mode is set on the socket before bind: the path never exists with a wider one.
    if (fchmod(fd, (mode_t)mode) < 0) return close_failed(fd);
    if (unlink(unfinished) < 0 && errno != ENOENT) return close_failed(fd);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_failed(fd);
    if (listen(fd, 16) < 0) return close_failed(fd);
    // Until it has its name nobody finds it. The group of what bind has made can't be set on the descriptor, and bind
    // takes the umask off the mode.
    if (group != (gid_t)-1 && lchown(unfinished, (uid_t)-1, group) < 0) return close_failed(fd);
    if (chmod(unfinished, (mode_t)mode) < 0) return close_failed(fd);
    if (rename(unfinished, path) < 0) return close_failed(fd);
    return fd;
}

static int connect_to(const char *path, int type, int milliseconds) {
    struct sockaddr_un address;
    if (fill_address(&address, path) < 0) return -1;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    // It waits only where as many wait already as the listener has room for.
    struct timeval timeout = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    if (milliseconds > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0)
        return close_failed(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_failed(fd);
    return fd;
}

int clinux_unix_connect(const char *path, int milliseconds) { return connect_to(path, SOCK_STREAM, milliseconds); }
int clinux_unix_connect_messages(const char *path, int milliseconds) {
    return connect_to(path, SOCK_SEQPACKET, milliseconds);
}

int clinux_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int clinux_peer(int socket, pid_t *pid, uid_t *uid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -1;
    *pid = credentials.pid;
    *uid = credentials.uid;
    return 0;
}

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int clinux_peer_pidfd(int socket) {
    int pidfd;
    socklen_t length = sizeof pidfd;
    return getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0 ? -1 : pidfd;
}
