/* The test guest: threads that make memory, disk and time observable, and one thread that reports. */
#ifndef GUEST_H
#define GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_MSEC 1000000ULL

/*
 * On the kernel command line as perdure.NAME=VALUE, by the names of these members without unit '_mib' or '_percent'
 * for ram and duty; flags are 0 or 1. What is not understood is reported, and powers the guest off.
 */
struct options {
    unsigned ram_mib;         /* memory under test; 0: none */
    unsigned duty_percent;    /* share of one CPU that the memory test may use, 1 to 100 */
    unsigned tick_ms;         /* period of the report */
    unsigned heartbeat_us;    /* period of the heartbeat */
    char disk[64];            /* block device for the record log; empty: none */
    char media[64];           /* read-only block device to compare with itself; empty: none */
    char networks[256];       /* ADDRESS[/PEER[/UDP_US]] of eth0, eth1, …; commas between them */
    unsigned disk_ms;         /* pause between two records */
    bool writer;              /* write 1 MiB blocks without a pause */
    unsigned writer_mib;      /* size of the region the writer goes round in */
    unsigned poweroff_after;  /* in ticks; 0: never */
    unsigned reboot_after;    /* in ticks; 0: never */
    bool ignore_power_button;
    bool echo;                /* say each line that the console's input brings */
    bool seed;                /* say what is there for the first boot */
    bool efi;                 /* write a UEFI variable all the time */
    bool dimm;                /* take in memory that is plugged, and check it */
    bool rng, watchdog, agent, pvpanic, tpm; /* the guest has it, and is to use it */
};

/* Counted by the working threads, read by the reporting one. */
struct status {
    atomic_ullong sweeps;        /* completed passes over the memory under test */
    atomic_ullong pages;         /* 4 KiB pages under test */
    atomic_ullong ram_errors;
    atomic_ullong disk_records;  /* highest acknowledged record number, over all boots */
    atomic_ullong disk_errors;
    atomic_ullong written_mib;   /* by the writer, in this boot */
};

extern struct options options;
extern struct status status;
extern uint64_t boot_id;

/* init.c */
void wake_reporter(void);
/* Queues a line for the reporting thread; lines beyond the queue's size are dropped, as the counters tell anyway. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Likewise, but waits for room: none is dropped. */
void report_all(const char *format, ...) __attribute__((format(printf, 1, 2)));
void start_thread(void *(*body)(void *));
uint64_t monotonic_ns(void);
void sleep_ns(uint64_t ns);

/* setup.c */
void mount_filesystems(void);
void load_modules(void);
/* For a module that is not for every machine. */
void load_module(const char *name);
/* Returns NULL, or the first word on the kernel command line that is meant for the guest and not understood. */
const char *parse_command_line(void);

/* crc32.c: the CRC-32 of zlib and gzip */
uint32_t crc32(const void *data, size_t size);

/* heartbeat.c */
#define HEARTBEAT_MAGIC 0x6265617470657264ULL
void start_heartbeat(void);
uint64_t heartbeat_paddr(void);

/* ram.c */
void start_ram_check(void);

/* device.c: waits until there is one that matches */
int open_device(const char *pattern, int flags);

/* disk.c */
void start_disk(void);

/* media.c */
void start_media(void);

/* echo.c */
void start_echo(void);

/* seed.c */
void start_seed(void);

/* efi.c */
void start_efi(void);
/* watchdog.c */
void start_watchdog(void);
void let_watchdog_expire(void);

/* dimm.c */
void start_dimm(void);

/* agent.c */
void start_agent(void);

/* tpm.c */
void start_tpm(void);

/* network.c */
void start_networks(void);
void stop_networks(void);

/* power.c */
extern atomic_bool power_button_pressed;
void start_power_button(void);

#endif
