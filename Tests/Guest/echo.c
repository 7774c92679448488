/* What is typed at the serial console, said again line by line. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"

#define LONGEST 120

static void *echo(void *unused)
{
    int fd = open("/dev/ttyS0", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    char line[LONGEST + 1];
    size_t length = 0;
    char byte;

    (void)unused;
    while (fd >= 0 && read(fd, &byte, 1) == 1) {
        if (byte != '\n' && byte != '\r') {
            if (length < LONGEST)
                line[length++] = byte;
            continue;
        }
        line[length] = 0;
        report_all("input=%s", line);
        length = 0;
    }
    report("error no console input: %m");
    return NULL;
}

void start_echo(void)
{
    if (options.echo)
        start_thread(echo);
}
