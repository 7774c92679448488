/* Numbered streams between the guest and a peer, the same at both ends: each end sends and checks. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdatomic.h>
#include <stdint.h>

#define TRAFFIC_PORT 7000

struct traffic {
    unsigned udp_us; /* between two datagrams */
    int tcp, udp; /* connected; udp may get its peer from the first datagram */
    /* Counted by the threads. */
    atomic_ullong tcp_received; /* bytes, all in order */
    atomic_ullong tcp_sent;
    atomic_ullong tcp_errors;   /* a byte that is not the next one, or the end of the connection */
    atomic_ullong udp_sent;
    atomic_ullong udp_received; /* different ones */
    atomic_ullong udp_last;     /* the highest number received */
    atomic_ullong udp_first;    /* the first number received */
    atomic_ullong udp_doubled;
    atomic_ullong udp_reordered;
    atomic_ullong udp_gap_us;   /* the longest time without one, since it was last reset */
};

/* Starts the threads, which go on for ever; 0 where that has failed. */
int start_traffic(struct traffic *traffic);
/* Datagrams that were sent before another one that has arrived, and have not. */
unsigned long long udp_lost(struct traffic *traffic);

#endif
