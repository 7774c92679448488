#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

// Closes a descriptor and leaves errno as it is. Returns `result`.
int clinux_close_with(int fd, int result);

// Sends one request to the kernel's routing part and returns once it has been carried out. `flags` are besides those
// that make it one.
int clinux_netlink_converse(struct nlmsghdr *message, int flags);

// A request that is put together attribute by attribute. The first that has no room makes the request fail.
struct clinux_netlink_request {
    struct nlmsghdr header;
    _Alignas(4) char body[1024];
    int is_full;
};

// With the fixed part that its type has.
void clinux_netlink_begin(struct clinux_netlink_request *request, int type, const void *fixed, size_t size);
void clinux_netlink_put(struct clinux_netlink_request *request, int type, const void *value, size_t size);
// What is put until the end is in an attribute of its own.
size_t clinux_netlink_nest(struct clinux_netlink_request *request, int type);
void clinux_netlink_end(struct clinux_netlink_request *request, size_t nest);
int clinux_netlink_send(struct clinux_netlink_request *request, int flags);
