#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int close_with(int fd, int result) {
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int request_by_name(const char *name, unsigned long number, struct ifreq *request) {
    if (strlen(name) >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(request->ifr_name, name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    return close_with(fd, ioctl(fd, number, request));
}

unsigned clinux_link_index(const char *name) {
    struct ifreq request = {0};
    return request_by_name(name, SIOCGIFINDEX, &request) < 0 ? 0 : (unsigned)request.ifr_ifindex;
}

int clinux_link_set_up(const char *name) {
    struct ifreq request = {0};
    if (request_by_name(name, SIOCGIFFLAGS, &request) < 0) return -1;
    if (request.ifr_flags & IFF_UP) return 0;
    request.ifr_flags |= IFF_UP;
    return request_by_name(name, SIOCSIFFLAGS, &request);
}

int clinux_link_set_mtu(const char *name, int mtu) {
    struct ifreq request = {.ifr_mtu = mtu};
    return request_by_name(name, SIOCSIFMTU, &request);
}

int clinux_link_set_address(const char *name, const unsigned char address[6]) {
    struct ifreq request = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
    memcpy(request.ifr_hwaddr.sa_data, address, 6);
    return request_by_name(name, SIOCSIFHWADDR, &request);
}

static int change_ports(const char *bridge, const char *name, unsigned long number) {
    struct ifreq request = {.ifr_ifindex = (int)clinux_link_index(name)};
    if (!request.ifr_ifindex) return -1;
    return request_by_name(bridge, number, &request);
}

int clinux_bridge_add(const char *bridge, const char *name) { return change_ports(bridge, name, SIOCBRADDIF); }
int clinux_bridge_remove(const char *bridge, const char *name) { return change_ports(bridge, name, SIOCBRDELIF); }

// Sends one request to the kernel and returns once it has been carried out.
static int converse(struct nlmsghdr *message) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return -1;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(fd, message, message->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return close_with(fd, -1);
    // The answer holds the request, too, where it is an error.
    _Alignas(struct nlmsghdr) char answer[4096];
    ssize_t got;
    do got = recv(fd, answer, sizeof answer, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return close_with(fd, -1);
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if (!NLMSG_OK(header, (size_t)got) || header->nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return close_with(fd, -1);
    }
    int error = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
    errno = error;
    return close_with(fd, error ? -1 : 0);
}

int clinux_link_delete(unsigned index) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_DELLINK},
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index},
    };
    return converse(&request.header);
}

int clinux_link_be_quiet(unsigned index) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
        struct rtattr families, family, mode;
        uint8_t value, padding[3];
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWLINK},
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index},
        .families = {.rta_len = 3 * sizeof(struct rtattr) + 4, .rta_type = IFLA_AF_SPEC},
        .family = {.rta_len = 2 * sizeof(struct rtattr) + 4, .rta_type = AF_INET6},
        .mode = {.rta_len = sizeof(struct rtattr) + 1, .rta_type = IFLA_INET6_ADDR_GEN_MODE},
        .value = IN6_ADDR_GEN_MODE_NONE,
    };
    return converse(&request.header);
}

int clinux_link_sender(unsigned index, uint32_t mark) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int on = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0 ||
        (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return close_with(fd, -1);
    return fd;
}
