/*
 * The first MiB of the disk is a ring of 512-byte records, numbered from 1 over all boots; what has been
 * acknowledged must be found again. The writer's region begins at the second MiB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

#define MIB (1ULL << 20)
#define LOG_SIZE MIB
#define RECORD_SIZE 512
#define RECORD_COUNT (LOG_SIZE / RECORD_SIZE)
#define RECORD_MAGIC 0x44524f4352455052ULL

struct record {
    uint64_t magic;
    uint64_t sequence;
    uint64_t boot;
    uint8_t filler[RECORD_SIZE - 28];
    uint32_t crc; /* of all before */
} __attribute__((packed));

_Static_assert(sizeof(struct record) == RECORD_SIZE, "one record per sector");

static int disk = -1;
static uint64_t disk_size;

static void *aligned(size_t size)
{
    void *buffer = NULL;
    if (posix_memalign(&buffer, 4096, size))
        abort();
    return memset(buffer, 0, size);
}

static void error(const char *what, uint64_t sequence)
{
    int number = errno;
    atomic_fetch_add(&status.disk_errors, 1);
    report("disk_error %s record=%llu errno=%d", what, (unsigned long long)sequence, number);
}

static bool is_valid(const struct record *record)
{
    return record->magic == RECORD_MAGIC && record->crc == crc32(record, offsetof(struct record, crc));
}

static off_t offset_of(uint64_t sequence)
{
    return (sequence - 1) % RECORD_COUNT * RECORD_SIZE;
}

/* Returns the highest number in the log; a sector that is neither empty nor a record in its place is an error. */
static uint64_t scan(void)
{
    struct record *log = aligned(LOG_SIZE);
    static const struct record empty;
    uint64_t highest = 0, records = 0;

    errno = 0;
    if (pread(disk, log, LOG_SIZE, 0) != LOG_SIZE)
        error("log unreadable", 0);
    for (uint64_t i = 0; i < RECORD_COUNT; i++) {
        if (!memcmp(&log[i], &empty, sizeof empty))
            continue;
        if (!is_valid(&log[i]) || offset_of(log[i].sequence) != (off_t)(i * RECORD_SIZE)) {
            error("not a record in its place, sector", i);
            continue;
        }
        records++;
        if (log[i].sequence > highest)
            highest = log[i].sequence;
    }
    uint64_t expected = highest < RECORD_COUNT ? highest : RECORD_COUNT;
    if (records != expected || (highest && log[offset_of(highest) / RECORD_SIZE].sequence != highest))
        error("records missing before", highest);
    for (uint64_t n = highest; n > highest - expected; n--)
        if (log[offset_of(n) / RECORD_SIZE].sequence != n)
            error("overwritten or missing", n);
    free(log);
    return highest;
}

static void verify(struct record *buffer, uint64_t sequence)
{
    errno = 0;
    if (pread(disk, buffer, RECORD_SIZE, offset_of(sequence)) != RECORD_SIZE)
        error("read", sequence);
    else if (!is_valid(buffer) || buffer->sequence != sequence)
        error("lost", sequence);
}

static void *append_records(void *unused)
{
    struct record *record = aligned(RECORD_SIZE), *check = aligned(RECORD_SIZE);
    uint64_t sequence = scan(), oldest = 1;

    (void)unused;
    atomic_store(&status.disk_records, sequence);
    report("disk found=%llu", (unsigned long long)sequence);
    for (;;) {
        sequence++;
        record->magic = RECORD_MAGIC;
        record->sequence = sequence;
        record->boot = boot_id;
        memset(record->filler, (int)sequence, sizeof record->filler);
        record->crc = crc32(record, offsetof(struct record, crc));
        errno = 0;
        while (pwrite(disk, record, RECORD_SIZE, offset_of(sequence)) != RECORD_SIZE) {
            error("write", sequence);
            sleep_ns(100 * NSEC_PER_MSEC);
        }
        atomic_store(&status.disk_records, sequence);

        /* The record before tells what a handover lost; the walk tells what was lost later. */
        if (sequence > 1)
            verify(check, sequence - 1);
        if (++oldest >= sequence || oldest + RECORD_COUNT <= sequence)
            oldest = sequence < RECORD_COUNT ? 1 : sequence - RECORD_COUNT + 1;
        verify(check, oldest);
        if (options.disk_ms)
            sleep_ns(options.disk_ms * NSEC_PER_MSEC);
    }
    return NULL;
}

static void *write_blocks(void *unused)
{
    char *block = aligned(MIB);
    int fd = open(options.disk, O_WRONLY | O_DIRECT | O_CLOEXEC);
    uint64_t blocks = disk_size / MIB - 1;

    (void)unused;
    if (fd < 0) {
        error("open for the writer", 0);
        return NULL;
    }
    if (blocks > options.writer_mib)
        blocks = options.writer_mib;
    for (uint64_t count = 1;; count++) {
        memset(block, (int)count, MIB);
        errno = 0;
        if (pwrite(fd, block, MIB, LOG_SIZE + (count - 1) % blocks * MIB) != (ssize_t)MIB) {
            error("block write", count);
            sleep_ns(100 * NSEC_PER_MSEC);
            continue;
        }
        atomic_fetch_add(&status.written_mib, 1);
    }
    return NULL;
}

void start_disk(void)
{
    int sector = 0;

    if (!*options.disk)
        return;
    disk = open_device(options.disk, O_RDWR | O_DIRECT | O_DSYNC);
    if (disk < 0 || ioctl(disk, BLKGETSIZE64, &disk_size) || ioctl(disk, BLKSSZGET, &sector)) {
        error("open", 0);
        return;
    }
    if (sector != RECORD_SIZE || disk_size < LOG_SIZE + MIB) {
        errno = EINVAL;
        error("needs 512-byte sectors and 2 MiB", 0);
        return;
    }
    start_thread(append_records);
    if (options.writer)
        start_thread(write_blocks);
}
