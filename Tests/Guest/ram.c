/* Sweeps over memory for ever: every page is verified in full, then rewritten with its next generation. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "guest.h"

#define PAGE_MAGIC 0x5045524455524521ULL
#define WORDS 512
#define HEADER_WORDS 5
#define PAGES_PER_BATCH 64

/* One page: magic, boot, index, generation, checksum of the pattern, pattern. */
static uint64_t (*memory)[WORDS];
static uint64_t page_count;

static uint64_t seed(uint64_t index, uint64_t generation)
{
    uint64_t x = boot_id ^ index * 0x9e3779b97f4a7c15ULL ^ generation * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 30) * 0x94d049bb133111ebULL;
    return (x ^ x >> 31) | 1;
}

static inline uint64_t next_word(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

static void fill(uint64_t index, uint64_t generation)
{
    uint64_t *word = memory[index], x = seed(index, generation), sum = 0;

    for (int i = HEADER_WORDS; i < WORDS; i++) {
        x = next_word(x);
        word[i] = x;
        sum = sum * 31 + x;
    }
    word[0] = PAGE_MAGIC;
    word[1] = boot_id;
    word[2] = index;
    word[3] = generation;
    word[4] = sum;
}

static void verify(uint64_t index, uint64_t generation)
{
    uint64_t x = seed(index, generation), sum = 0;
    const uint64_t *word = memory[index];
    int wrong = -1;
    uint64_t expected = 0;

    for (int i = HEADER_WORDS; i < WORDS; i++) {
        x = next_word(x);
        sum = sum * 31 + x;
        if (word[i] != x && wrong < 0) {
            wrong = i;
            expected = x;
        }
    }
    const uint64_t header[HEADER_WORDS] = {PAGE_MAGIC, boot_id, index, generation, sum};
    for (int i = HEADER_WORDS - 1; i >= 0; i--)
        if (word[i] != header[i]) {
            wrong = i;
            expected = header[i];
        }
    if (wrong < 0)
        return;
    atomic_fetch_add(&status.ram_errors, 1);
    report("ram_error page=%llu generation=%llu word=%d expected=%016llx found=%016llx",
           (unsigned long long)index, (unsigned long long)generation, wrong, (unsigned long long)expected,
           (unsigned long long)word[wrong]);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Called after every page; sleeps as long as the wanted duty demands. */
static void pace(uint64_t index)
{
    static uint64_t start;

    if (index % PAGES_PER_BATCH)
        return;
    uint64_t now = cpu_ns();
    if (options.duty_percent < 100)
        sleep_ns((now - start) * (100 - options.duty_percent) / options.duty_percent);
    start = cpu_ns();
}

static void *sweep(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < page_count; i++) {
        fill(i, 0);
        pace(i);
    }
    atomic_store(&status.pages, page_count);
    for (uint64_t generation = 0;; generation++) {
        for (uint64_t i = 0; i < page_count; i++) {
            verify(i, generation);
            fill(i, generation + 1);
            pace(i);
        }
        atomic_fetch_add(&status.sweeps, 1);
    }
    return NULL;
}

void start_ram_check(void)
{
    size_t size = (size_t)options.ram_mib << 20;

    if (!size)
        return;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        report("error no memory to test: %m");
        return;
    }
    page_count = size / 4096;
    start_thread(sweep);
}
