/* The guest's networks: addresses, streams to a peer, and a server that sends back what it gets. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"
#include "traffic.h"

#define ECHO_PORT 7007
#define MOST_NETWORKS 6
#define REPORT_NS (250 * NSEC_PER_MSEC)

struct network {
    unsigned index;
    char address[32], peer[32];
    unsigned udp_us;
    struct traffic traffic;
};

static struct network networks[MOST_NETWORKS];
static unsigned network_count;

static int set_flags(const char *interface, short set, short clear)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    result = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags = (request.ifr_flags | set) & ~clear;
    result |= ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    return result;
}

/* 24 bits of it are the network's. */
static int set_address(const char *interface, const char *address)
{
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    in->sin_family = AF_INET;
    if (inet_pton(AF_INET, address, &in->sin_addr) != 1)
        return -1;
    result = ioctl(fd, SIOCSIFADDR, &request);
    inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
    result |= ioctl(fd, SIOCSIFNETMASK, &request);
    close(fd);
    return result | set_flags(interface, IFF_UP, 0);
}

static int connect_to(const char *address, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(TRAFFIC_PORT)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return -1;
    return fd;
}

static void *run_network(void *argument)
{
    struct network *network = argument;
    struct traffic *traffic = &network->traffic;
    char interface[16];

    snprintf(interface, sizeof interface, "eth%u", network->index);
    if (set_address(interface, network->address)) {
        report("error network %u has no address %s: %m", network->index, network->address);
        return NULL;
    }
    report("network=%u address=%s", network->index, network->address);
    if (!*network->peer)
        return NULL;
    traffic->udp_us = network->udp_us;
    traffic->tcp = connect_to(network->peer, SOCK_STREAM);
    traffic->udp = connect_to(network->peer, SOCK_DGRAM);
    if (traffic->tcp < 0 || traffic->udp < 0 || !start_traffic(traffic)) {
        report("error network %u has no connection to %s: %m", network->index, network->peer);
        return NULL;
    }
    for (;;) {
        sleep_ns(REPORT_NS);
        report("network=%u tcp_received=%llu tcp_errors=%llu udp_received=%llu udp_lost=%llu udp_doubled=%llu "
               "udp_reordered=%llu udp_gap_us=%llu",
               network->index, atomic_load(&traffic->tcp_received), atomic_load(&traffic->tcp_errors),
               atomic_load(&traffic->udp_received), udp_lost(traffic), atomic_load(&traffic->udp_doubled),
               atomic_load(&traffic->udp_reordered), atomic_load(&traffic->udp_gap_us));
    }
}

/* One client at a time. */
static void *echo(void *unused)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(ECHO_PORT)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char bytes[4096];

    (void)unused;
    if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 8) < 0)
        report("error cannot listen: %m");
    for (;;) {
        int client = accept(listener, NULL, NULL);
        ssize_t got;
        while (client >= 0 && (got = recv(client, bytes, sizeof bytes, 0)) > 0)
            if (send(client, bytes, got, MSG_NOSIGNAL) != got)
                break;
        if (client >= 0)
            close(client);
    }
    return NULL;
}

static void *run_networks(void *unused)
{
    (void)unused;
    set_address("lo", "127.0.0.1");
    start_thread(echo);
    for (unsigned i = 0; i < network_count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run_network, &networks[i]))
            report("error cannot start a thread");
    }
    return NULL;
}

/*
 * As an init system does before it ends the kernel: Linux breaks its virtio devices on shutdown, and who sends through a
 * broken one meanwhile keeps its processor for good (start_xmit() of virtio_net).
 */
void stop_networks(void)
{
    for (unsigned i = 0; i < network_count; i++) {
        char interface[16];
        snprintf(interface, sizeof interface, "eth%u", i);
        set_flags(interface, 0, IFF_UP);
    }
}

void start_networks(void)
{
    char *rest = options.networks, *word;

    while ((word = strsep(&rest, ",")) && *word && network_count < MOST_NETWORKS) {
        struct network *network = &networks[network_count];
        network->index = network_count++;
        network->udp_us = 1000;
        sscanf(word, "%31[^/]/%31[^/]/%u", network->address, network->peer, &network->udp_us);
    }
    if (network_count)
        start_thread(run_networks);
}
