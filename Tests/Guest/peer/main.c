/*
 * The other end of the guest's streams: network-peer ADDRESS FILE UDP_US waits for a guest at ADDRESS and keeps what it
 * has counted in FILE, which is replaced ten times a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../traffic.h"

static void __attribute__((noreturn)) fail(const char *what)
{
    perror(what);
    exit(1);
}

static int bound(const struct sockaddr_in *address, int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        fail("bind");
    return fd;
}

static void save(struct traffic *traffic, const char *path)
{
    char next[4096];
    snprintf(next, sizeof next, "%s.next", path);
    FILE *file = fopen(next, "we");
    if (!file)
        fail(next);
    fprintf(file,
            "{\"tcpReceived\":%llu,\"tcpErrors\":%llu,\"udpReceived\":%llu,\"udpLost\":%llu,\"udpDoubled\":%llu,"
            "\"udpReordered\":%llu,\"udpGap\":%llu}\n",
            atomic_load(&traffic->tcp_received), atomic_load(&traffic->tcp_errors),
            atomic_load(&traffic->udp_received), udp_lost(traffic), atomic_load(&traffic->udp_doubled),
            atomic_load(&traffic->udp_reordered), atomic_load(&traffic->udp_gap_us));
    if (fclose(file) || rename(next, path) < 0)
        fail(path);
}

int main(int argc, char **argv)
{
    static struct traffic traffic;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(TRAFFIC_PORT)};

    if (argc != 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: network-peer ADDRESS FILE UDP_US\n");
        return 64;
    }
    traffic.udp_us = (unsigned)atoi(argv[3]);
    traffic.udp = bound(&address, SOCK_DGRAM);
    int listener = bound(&address, SOCK_STREAM);
    if (listen(listener, 1) < 0)
        fail("listen");
    traffic.tcp = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (traffic.tcp < 0 || !start_traffic(&traffic))
        fail("start");
    for (;;) {
        save(&traffic, argv[2]);
        struct timespec pause = {.tv_nsec = 100000000};
        nanosleep(&pause, NULL);
    }
}
