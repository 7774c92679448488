#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int clinux_close_with(int fd, int result) {
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

int clinux_netlink_converse(struct nlmsghdr *message, int flags) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return -1;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(fd, message, message->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return clinux_close_with(fd, -1);
    // The answer holds the request, too, where it is an error.
    _Alignas(struct nlmsghdr) char answer[4096];
    ssize_t got;
    do got = recv(fd, answer, sizeof answer, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return clinux_close_with(fd, -1);
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if (!NLMSG_OK(header, (size_t)got) || header->nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return clinux_close_with(fd, -1);
    }
    int error = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
    errno = error;
    return clinux_close_with(fd, error ? -1 : 0);
}

// Where the next `size` bytes go; NULL where there is no room.
static char *extend(struct clinux_netlink_request *request, size_t size) {
    size_t used = NLMSG_ALIGN(request->header.nlmsg_len) - sizeof request->header;
    if (request->is_full || size > sizeof request->body - used) {
        request->is_full = 1;
        return NULL;
    }
    request->header.nlmsg_len = (uint32_t)(sizeof request->header + used + size);
    return request->body + used;
}

void clinux_netlink_begin(struct clinux_netlink_request *request, int type, const void *fixed, size_t size) {
    memset(request, 0, sizeof *request);
    request->header.nlmsg_len = sizeof request->header;
    request->header.nlmsg_type = (uint16_t)type;
    char *place = extend(request, size);
    if (place) memcpy(place, fixed, size);
}

void clinux_netlink_put(struct clinux_netlink_request *request, int type, const void *value, size_t size) {
    struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = (uint16_t)type};
    char *place = extend(request, RTA_LENGTH(size));
    if (!place) return;
    memcpy(place, &attribute, sizeof attribute);
    if (size) memcpy(place + RTA_LENGTH(0), value, size);
}

size_t clinux_netlink_nest(struct clinux_netlink_request *request, int type) {
    size_t nest = NLMSG_ALIGN(request->header.nlmsg_len) - sizeof request->header;
    clinux_netlink_put(request, type, NULL, 0);
    return nest;
}

void clinux_netlink_end(struct clinux_netlink_request *request, size_t nest) {
    if (request->is_full) return;
    struct rtattr attribute;
    memcpy(&attribute, request->body + nest, sizeof attribute);
    attribute.rta_len = (uint16_t)(request->header.nlmsg_len - sizeof request->header - nest);
    memcpy(request->body + nest, &attribute, sizeof attribute);
}

int clinux_netlink_send(struct clinux_netlink_request *request, int flags) {
    if (request->is_full) {
        errno = EMSGSIZE;
        return -1;
    }
    return clinux_netlink_converse(&request->header, flags);
}
