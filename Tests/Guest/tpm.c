/*
 * Counts in the TPM's non-volatile memory and extends one of its registers all the time, by the TPM's own commands. Each
 * step has to follow upon the one before: a command that is lost or carried out twice is seen, and so is memory that is as
 * it was some time ago.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define PERIOD_NS (50 * NSEC_PER_MSEC)
#define COUNTER 0x01500001u /* an index of the owner's */
#define REGISTER 16u        /* for debugging: nobody else uses it */
#define ANSWER_SIZE 4096

enum { NO_SESSIONS = 0x8001, SESSIONS = 0x8002 };
enum { NV_DEFINE = 0x12a, NV_INCREMENT = 0x134, PCR_EXTEND = 0x182, NV_READ = 0x14e, PCR_READ = 0x17e };
enum { OWNER = 0x40000001, PASSWORD = 0x40000009 };
enum { SHA256 = 0x0b, DIGEST = 32 };
/* TPMA_NV: a counter that the owner reads and increments, and that no lockout is for. */
#define COUNTER_ATTRIBUTES 0x02020012u
enum { ALREADY_DEFINED = 0x14c, RETRY = 0x922 };

static int device = -1;
static uint8_t message[1024], answer[ANSWER_SIZE];
static size_t length;
static ssize_t answered;

static void put(uint64_t value, unsigned size)
{
    while (size--)
        message[length++] = (uint8_t)(value >> (8 * size));
}

static uint64_t get(size_t offset, unsigned size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | answer[offset++];
    return value;
}

static void begin(unsigned tag, unsigned command)
{
    length = 0;
    put(tag, 2);
    put(0, 4);
    put(command, 4);
}

/* The owner, or whose the handle before is, has no password. */
static void put_authorization(void)
{
    put(9, 4);
    put(PASSWORD, 4);
    put(0, 2);
    put(0, 1);
    put(0, 2);
}

/* Returns what the TPM says of it: 0 for success; -1 where it says nothing. */
static long transact(void)
{
    size_t end = length;
    length = 2;
    put(end, 4);
    length = end;
    for (;;) {
        if (write(device, message, length) != (ssize_t)length)
            return -1;
        answered = read(device, answer, sizeof answer);
        if (answered < 10)
            return -1;
        if (get(6, 4) != RETRY)
            return (long)get(6, 4);
        sleep_ns(NSEC_PER_MSEC);
    }
}

static long define_counter(void)
{
    begin(SESSIONS, NV_DEFINE);
    put(OWNER, 4);
    put_authorization();
    put(0, 2);
    put(14, 2);
    put(COUNTER, 4);
    put(SHA256, 2);
    put(COUNTER_ATTRIBUTES, 4);
    put(0, 2);
    put(8, 2);
    return transact();
}

static long increment(void)
{
    begin(SESSIONS, NV_INCREMENT);
    put(OWNER, 4);
    put(COUNTER, 4);
    put_authorization();
    return transact();
}

static long read_counter(uint64_t *value)
{
    begin(SESSIONS, NV_READ);
    put(OWNER, 4);
    put(COUNTER, 4);
    put_authorization();
    put(8, 2);
    put(0, 2);
    long result = transact();
    if (result == 0)
        *value = get(16, 8);
    return result;
}

static long extend(const uint8_t digest[DIGEST])
{
    begin(SESSIONS, PCR_EXTEND);
    put(REGISTER, 4);
    put_authorization();
    put(1, 4);
    put(SHA256, 2);
    memcpy(message + length, digest, DIGEST);
    length += DIGEST;
    return transact();
}

static long read_register(uint8_t digest[DIGEST])
{
    begin(NO_SESSIONS, PCR_READ);
    put(1, 4);
    put(SHA256, 2);
    put(3, 1);
    for (unsigned octet = 0; octet < 3; octet++)
        put(octet == REGISTER / 8 ? 1u << REGISTER % 8 : 0, 1);
    long result = transact();
    /* Header, counter of changes, selection (4 + 2 + 1 + 3), number of digests, size. */
    if (result == 0)
        memcpy(digest, answer + 10 + 4 + 10 + 4 + 2, DIGEST);
    return result;
}

static void *run(void *unused)
{
    uint64_t counter = 0, before = 0;
    uint8_t digest[DIGEST], now[DIGEST];
    long result;

    (void)unused;
    device = open_device("/dev/tpm0", O_RDWR);
    if (device < 0) {
        report("error no TPM: %m");
        return NULL;
    }
    result = define_counter();
    if (result != 0 && result != ALREADY_DEFINED) {
        report("error tpm can't define a counter: %#lx", result);
        return NULL;
    }
    /* A counter can be read once it has been incremented. */
    if (result == ALREADY_DEFINED && (result = read_counter(&before)) == 0)
        report("tpm found=%llu", (unsigned long long)before);
    if ((result = increment()) != 0 || (result = read_counter(&counter)) != 0 || (result = read_register(digest)) != 0)
        report("error tpm does not answer: %#lx", result);
    if (before != 0 && counter != before + 1)
        report("error tpm counts %llu after %llu", (unsigned long long)counter, (unsigned long long)before);
    for (;;) {
        before = counter;
        if ((result = increment()) != 0 || (result = read_counter(&counter)) != 0)
            report("error tpm counter: %#lx, %s", result, strerror(errno));
        else if (counter != before + 1)
            report("error tpm counts %llu after %llu", (unsigned long long)counter, (unsigned long long)before);
        if ((result = read_register(now)) != 0)
            report("error tpm register: %#lx", result);
        else if (memcmp(now, digest, DIGEST) != 0)
            report("error tpm register has changed");
        if ((result = extend(now)) != 0 || (result = read_register(digest)) != 0)
            report("error tpm register: %#lx", result);
        else if (memcmp(now, digest, DIGEST) == 0)
            report("error tpm register has not changed");
        report("tpm counter=%llu", (unsigned long long)counter);
        sleep_ns(PERIOD_NS);
    }
}

void start_tpm(void)
{
    if (options.tpm)
        start_thread(run);
}
