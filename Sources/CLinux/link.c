#define _GNU_SOURCE
#include "CLinux.h"
#include "netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int request_by_name(const char *name, unsigned long number, struct ifreq *request) {
    if (strlen(name) >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(request->ifr_name, name);
    // Any socket is one of the host's network.
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    return clinux_close_with(fd, ioctl(fd, number, request));
}

unsigned clinux_link_index(const char *name) {
    struct ifreq request = {0};
    return request_by_name(name, SIOCGIFINDEX, &request) < 0 ? 0 : (unsigned)request.ifr_ifindex;
}

int clinux_link_set_up(const char *name, int hears_all_groups) {
    struct ifreq request = {0};
    short flags = (short)(IFF_UP | (hears_all_groups ? IFF_ALLMULTI : 0));
    if (request_by_name(name, SIOCGIFFLAGS, &request) < 0) return -1;
    if ((request.ifr_flags & flags) == flags) return 0;
    request.ifr_flags |= flags;
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

int clinux_link_delete(unsigned index) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_DELLINK},
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index},
    };
    return clinux_netlink_converse(&request.header, 0);
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
    return clinux_netlink_converse(&request.header, 0);
}

int clinux_link_sender(unsigned index, uint32_t mark) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int on = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0 ||
        (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return clinux_close_with(fd, -1);
    return fd;
}
