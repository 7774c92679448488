#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t terminal = -1;

void clinux_terminal_restore(void) {
    if (terminal < 0) return;
    tcsetattr(terminal, TCSADRAIN, &saved);
    terminal = -1;
}

// A program that crashes must not leave a terminal behind that shows nothing of what is typed.
static void crashed(int signal_number) {
    clinux_terminal_restore();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

int clinux_terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

int clinux_terminal_raw(int fd) {
    static int prepared;
    struct termios raw;
    if (tcgetattr(fd, &saved) < 0) return -1;
    raw = saved;
    cfmakeraw(&raw);
    if (!prepared) {
        const int fatal[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
        for (size_t index = 0; index < sizeof fatal / sizeof *fatal; index++) signal(fatal[index], crashed);
        atexit(clinux_terminal_restore);
        prepared = 1;
    }
    terminal = fd;
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0) return 0;
    terminal = -1;
    return -1;
}
