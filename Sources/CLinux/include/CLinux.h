// Linux calls that Swift's Glibc module does not show. _GNU_SOURCE stays inside the .c files: in a public
// header it clashes with other C modules. Each function returns -1 and sets errno on failure unless said otherwise.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// memfd.c
enum { CLINUX_SEAL_SEAL = 1, CLINUX_SEAL_SHRINK = 2, CLINUX_SEAL_GROW = 4, CLINUX_SEAL_WRITE = 8 };
// Close-on-exec, sealable and executable-capable; of huge pages of 2 to the power of huge_page bytes, unless that is 0.
int clinux_memfd_create(const char *name, unsigned huge_page);
int clinux_add_seals(int fd, int seals);
int clinux_get_seals(int fd);
// Gives the pages of [offset, offset+length) back; the file's size stays.
int clinux_punch_hole(int fd, off_t offset, off_t length);
// The first offset at or after `offset` that holds data; -1 with ENXIO where there is none.
off_t clinux_seek_data(int fd, off_t offset);

// copy.c
// The first offset at or after `offset` that holds none; the end of the file counts as one.
off_t clinux_seek_hole(int fd, off_t offset);
// Copies at most `count` bytes within the kernel. Moves the file offset of `to`. Returns the bytes copied.
ssize_t clinux_copy_range(int from, off_t from_offset, int to, off_t to_offset, size_t count);

// pidfd.c
int clinux_pidfd_open(pid_t pid);
int clinux_pidfd_send_signal(int pidfd, int signal);
// A duplicate of another process's descriptor, close-on-exec.
int clinux_pidfd_getfd(int pidfd, int number);
// Waits for a child's end. *status as in waitpid(2). ECHILD where it is not our child.
int clinux_pidfd_reap(int pidfd, int *status);
int clinux_status_exited(int status);
int clinux_status_exit_code(int status);
int clinux_status_signal(int status);

// socket.c
int clinux_unix_pair(int ends[2]);
// One message with at most 4 descriptors; never raises SIGPIPE. Returns the bytes sent.
ssize_t clinux_send(int socket, const void *bytes, size_t count, const int *fds, size_t fd_count);
// Received descriptors are close-on-exec; at most *fd_count are kept, the rest closed. Returns the bytes received.
ssize_t clinux_receive(int socket, void *bytes, size_t count, int *fds, size_t *fd_count);
int clinux_unix_listen(const char *path, int mode);
int clinux_unix_connect(const char *path);
int clinux_accept(int listener);
int clinux_peer_uid(int socket, uid_t *uid);

// signalfd.c
int clinux_block_signals(const int *signals, size_t count);
int clinux_signalfd(const int *signals, size_t count);
// The next signal's number, 0 where none is pending.
int clinux_read_signal(int fd);

// pipe.c
// A new pipe, non-blocking, as one descriptor that is both its ends.
int clinux_pipe(void);

// terminal.c
// Puts the terminal into raw mode until clinux_terminal_restore, the program's end or its crash.
int clinux_terminal_raw(int fd);
void clinux_terminal_restore(void);
// How many columns a terminal has; 0 where that is not known.
int clinux_terminal_columns(int fd);

// epoll.c
int clinux_epoll_create(void);
// Level-triggered. `token` comes back from clinux_epoll_wait when fd is readable, hung up or in error.
int clinux_epoll_add(int epoll, int fd, uint64_t token);
// Likewise when fd can be written to.
int clinux_epoll_add_writable(int epoll, int fd, uint64_t token);
int clinux_epoll_remove(int epoll, int fd);
// At most 64 tokens at once; 0 when the time is up or a signal came. A negative timeout waits for ever.
int clinux_epoll_wait(int epoll, uint64_t *tokens, int room, int timeout_ms);
int clinux_eventfd(void);
int clinux_eventfd_raise(int fd);
int clinux_eventfd_lower(int fd);

// inotify.c
// A non-blocking descriptor that becomes readable when the file is written.
int clinux_watch_writes(const char *path);
// Likewise when names in the directory come or go, or when it goes itself.
int clinux_watch_directory(const char *path);

// memory.c
void clinux_trim_memory(void);

// spawn.c
struct clinux_spawn {
    const char *path;
    char *const *argv;
    char *const *envp;
    int standard_output;      // becomes fds 1 and 2; fd 0 is /dev/null
    const int *inherited;     // stay open under the same numbers; all others close
    size_t inherited_count;
};
// Forks a child that waits at a gate before it executes. It ends by itself when the gate is closed unopened.
// Returns its pid; *gate is the descriptor to open or close, *failure becomes readable with an errno (int) when
// exec fails and at end-of-file when it has succeeded.
pid_t clinux_spawn_gated(const struct clinux_spawn *request, int *gate, int *failure);
int clinux_open_gate(int gate);
