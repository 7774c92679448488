#define _GNU_SOURCE
#include "CLinux.h"
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(CLINUX_MACVLAN_PRIVATE == MACVLAN_MODE_PRIVATE && CLINUX_MACVLAN_VEPA == MACVLAN_MODE_VEPA &&
                   CLINUX_MACVLAN_BRIDGE == MACVLAN_MODE_BRIDGE && CLINUX_MACVLAN_PASSTHRU == MACVLAN_MODE_PASSTHRU,
               "modes of a macvlan interface");

static void put_text(struct clinux_netlink_request *request, int type, const char *text) {
    clinux_netlink_put(request, type, text, strlen(text) + 1);
}

int clinux_macvlan_create(const char *name, unsigned parent, uint32_t mode, const unsigned char address[6]) {
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    uint32_t lower = parent;
    struct clinux_netlink_request request;
    clinux_netlink_begin(&request, RTM_NEWLINK, &link, sizeof link);
    put_text(&request, IFLA_IFNAME, name);
    clinux_netlink_put(&request, IFLA_LINK, &lower, sizeof lower);
    if (address) clinux_netlink_put(&request, IFLA_ADDRESS, address, 6);
    size_t information = clinux_netlink_nest(&request, IFLA_LINKINFO);
    put_text(&request, IFLA_INFO_KIND, "macvlan");
    size_t data = clinux_netlink_nest(&request, IFLA_INFO_DATA);
    clinux_netlink_put(&request, IFLA_MACVLAN_MODE, &mode, sizeof mode);
    clinux_netlink_end(&request, data);
    clinux_netlink_end(&request, information);
    return clinux_netlink_send(&request, NLM_F_CREATE | NLM_F_EXCL);
}

int clinux_link_set_alias(unsigned index, const char *alias) {
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    struct clinux_netlink_request request;
    clinux_netlink_begin(&request, RTM_NEWLINK, &link, sizeof link);
    // The terminating zero would be part of it.
    clinux_netlink_put(&request, IFLA_IFALIAS, alias, strlen(alias));
    return clinux_netlink_send(&request, 0);
}

static struct tcmsg tc_of(unsigned index, uint32_t handle, uint32_t parent) {
    return (struct tcmsg){
        .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)index, .tcm_handle = handle, .tcm_parent = parent};
}

int clinux_link_redirect(unsigned from, unsigned to) {
    struct clinux_netlink_request request;
    struct tcmsg hooks = tc_of(from, TC_H_MAKE(TC_H_CLSACT, 0), TC_H_CLSACT);
    // With all filters. Where there is none yet, that is as good.
    clinux_netlink_begin(&request, RTM_DELQDISC, &hooks, sizeof hooks);
    clinux_netlink_send(&request, 0);
    clinux_netlink_begin(&request, RTM_NEWQDISC, &hooks, sizeof hooks);
    put_text(&request, TCA_KIND, "clsact");
    if (clinux_netlink_send(&request, NLM_F_CREATE | NLM_F_EXCL) < 0) return -1;

    struct tcmsg filter = tc_of(from, 0, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
    filter.tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL));
    // One key, whose mask leaves nothing to compare: every packet matches.
    _Alignas(struct tc_u32_sel) char selector[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = {0};
    ((struct tc_u32_sel *)selector)->flags = TC_U32_TERMINAL;
    ((struct tc_u32_sel *)selector)->nkeys = 1;
    struct tc_mirred redirect = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = to};
    clinux_netlink_begin(&request, RTM_NEWTFILTER, &filter, sizeof filter);
    put_text(&request, TCA_KIND, "u32");
    size_t options = clinux_netlink_nest(&request, TCA_OPTIONS);
    clinux_netlink_put(&request, TCA_U32_SEL, selector, sizeof selector);
    size_t actions = clinux_netlink_nest(&request, TCA_U32_ACT);
    size_t first = clinux_netlink_nest(&request, 1);
    put_text(&request, TCA_ACT_KIND, "mirred");
    size_t parameters = clinux_netlink_nest(&request, TCA_ACT_OPTIONS);
    clinux_netlink_put(&request, TCA_MIRRED_PARMS, &redirect, sizeof redirect);
    clinux_netlink_end(&request, parameters);
    clinux_netlink_end(&request, first);
    clinux_netlink_end(&request, actions);
    clinux_netlink_end(&request, options);
    return clinux_netlink_send(&request, NLM_F_CREATE | NLM_F_EXCL);
}
