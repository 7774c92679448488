#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

#define TCP_PERIOD_NS 2000000L
#define TCP_NUMBERS 64
#define MOST_BEHIND_NS 20000000L
/* Numbers, of the newest datagrams, among which doubled ones are found. */
#define WINDOW 65536

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void sleep_until(uint64_t time)
{
    struct timespec t = {time / 1000000000, time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* One that was held up goes on from where it is, instead of keeping its processor busy with what it has missed. */
static void catch_up(uint64_t *at)
{
    uint64_t now = now_ns();
    if (now > *at + MOST_BEHIND_NS)
        *at = now;
    sleep_until(*at);
}

static void *send_tcp(void *argument)
{
    struct traffic *traffic = argument;
    uint64_t numbers[TCP_NUMBERS], next = 0;

    for (uint64_t at = now_ns();; at += TCP_PERIOD_NS) {
        catch_up(&at);
        for (int i = 0; i < TCP_NUMBERS; i++)
            numbers[i] = next++;
        for (size_t done = 0; done < sizeof numbers;) {
            ssize_t put = send(traffic->tcp, (char *)numbers + done, sizeof numbers - done, MSG_NOSIGNAL);
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0) {
                atomic_fetch_add(&traffic->tcp_errors, 1);
                return NULL;
            }
            done += put;
        }
        atomic_fetch_add(&traffic->tcp_sent, sizeof numbers);
    }
}

static void *receive_tcp(void *argument)
{
    struct traffic *traffic = argument;
    unsigned char bytes[16384];
    uint64_t offset = 0;

    for (;;) {
        ssize_t got = recv(traffic->tcp, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            atomic_fetch_add(&traffic->tcp_errors, 1);
            return NULL;
        }
        for (ssize_t i = 0; i < got; i++, offset++)
            if (bytes[i] != (unsigned char)((offset / 8) >> (offset % 8 * 8)))
                atomic_fetch_add(&traffic->tcp_errors, 1);
        atomic_store(&traffic->tcp_received, offset);
    }
}

static void *send_udp(void *argument)
{
    struct traffic *traffic = argument;

    for (uint64_t at = now_ns(), number = 1;; at += traffic->udp_us * 1000ULL) {
        catch_up(&at);
        /* What can't be sent is not counted: nobody has seen its number. */
        if (send(traffic->udp, &number, sizeof number, MSG_NOSIGNAL) != sizeof number)
            continue;
        atomic_store(&traffic->udp_sent, number);
        number++;
    }
    return NULL;
}

static void *receive_udp(void *argument)
{
    static _Thread_local unsigned char seen[WINDOW];
    struct traffic *traffic = argument;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    uint64_t number, last = 0, before = 0;

    for (;;) {
        ssize_t got = recvfrom(traffic->udp, &number, sizeof number, 0, (struct sockaddr *)&peer, &peer_size);
        if (got != sizeof number)
            continue;
        uint64_t now = now_ns();
        if (!before) {
            connect(traffic->udp, (struct sockaddr *)&peer, peer_size);
            atomic_store(&traffic->udp_first, number);
            last = number - 1;
        } else if ((now - before) / 1000 > atomic_load(&traffic->udp_gap_us)) {
            atomic_store(&traffic->udp_gap_us, (now - before) / 1000);
        }
        before = now;
        if (number > last) {
            for (uint64_t n = last + 1; n < number && n <= last + WINDOW; n++)
                seen[n % WINDOW] = 0;
            last = number;
        } else {
            atomic_fetch_add(&traffic->udp_reordered, 1);
            if (last - number >= WINDOW || seen[number % WINDOW]) {
                atomic_fetch_add(&traffic->udp_doubled, 1);
                continue;
            }
        }
        seen[number % WINDOW] = 1;
        atomic_store(&traffic->udp_last, last);
        atomic_fetch_add(&traffic->udp_received, 1);
    }
    return NULL;
}

/* A peer that waits for its first datagram has nobody to send to before. */
static void *answer_udp(void *argument)
{
    struct traffic *traffic = argument;
    pthread_t thread;
    uint64_t number;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;

    if (getpeername(traffic->udp, (struct sockaddr *)&peer, &peer_size) < 0) {
        peer_size = sizeof peer;
        while (recvfrom(traffic->udp, &number, sizeof number, MSG_PEEK, (struct sockaddr *)&peer, &peer_size) < 0)
            ;
        connect(traffic->udp, (struct sockaddr *)&peer, peer_size);
    }
    if (pthread_create(&thread, NULL, send_udp, traffic))
        return NULL;
    return receive_udp(traffic);
}

unsigned long long udp_lost(struct traffic *traffic)
{
    /* Counted after the last number was noted: never too low by one that comes in between. */
    unsigned long long last = atomic_load(&traffic->udp_last), received = atomic_load(&traffic->udp_received);
    unsigned long long expected = last ? last - atomic_load(&traffic->udp_first) + 1 : 0;
    return expected > received ? expected - received : 0;
}

int start_traffic(struct traffic *traffic)
{
    void *(*bodies[])(void *) = {send_tcp, receive_tcp, answer_udp};
    /* A reader that has to wait for its processor loses nothing. */
    int size = 16 << 20;
    pthread_t thread;

    if (setsockopt(traffic->udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        return 0;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (pthread_create(&thread, NULL, bodies[i], traffic))
            return 0;
    return 1;
}
