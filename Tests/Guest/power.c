/* The ACPI power button, as the kernel hands it to userspace. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <linux/input.h>
#include <poll.h>
#include <unistd.h>

#include "guest.h"

#define MAX_DEVICES 16

atomic_bool power_button_pressed;

static void *watch(void *unused)
{
    struct pollfd devices[MAX_DEVICES];
    nfds_t count = 0;
    glob_t found;

    (void)unused;
    if (glob("/dev/input/event*", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && count < MAX_DEVICES; i++) {
            int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
            if (fd >= 0)
                devices[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        globfree(&found);
    }
    if (!count) {
        report("error no input device for the power button");
        return NULL;
    }
    while (poll(devices, count, -1) > 0) {
        for (nfds_t i = 0; i < count; i++) {
            struct input_event event;
            if (!devices[i].revents)
                continue;
            if (read(devices[i].fd, &event, sizeof event) != sizeof event) {
                devices[i].fd = -1;
                continue;
            }
            if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1)
                continue;
            if (options.ignore_power_button) {
                report("power button ignored");
                continue;
            }
            atomic_store(&power_button_pressed, true);
            wake_reporter();
        }
    }
    return NULL;
}

void start_power_button(void)
{
    start_thread(watch);
}
