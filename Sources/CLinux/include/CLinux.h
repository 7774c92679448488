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
// Bytes of the pages of a file of huge pages; 0 of any other; -1 on failure.
long clinux_huge_page_size(int fd);
// O_DIRECT, which is not everybody's to see.
extern const int clinux_direct;

// file.c
// Opens nothing: what it returns says which file there is, and can be opened by /proc/self/fd.
int clinux_open_path(const char *path);
// Whether the file is one of procfs; -1 on error.
int clinux_is_proc(int fd);
// Whether the file is of a file system of the kernel's own, where opening or reading a file may do something; -1 on error.
int clinux_is_kernels(int fd);

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
enum { CLINUX_MOST_DESCRIPTORS = 250 };
// One message with at most so many descriptors; never raises SIGPIPE. Returns the bytes sent.
ssize_t clinux_send(int socket, const void *bytes, size_t count, const int *fds, size_t fd_count);
// Received descriptors are close-on-exec; at most *fd_count are kept, the rest closed. Returns the bytes received.
ssize_t clinux_receive(int socket, void *bytes, size_t count, int *fds, size_t *fd_count);
// `group` -1 leaves the process's own.
int clinux_unix_listen(const char *path, int mode, gid_t group);
int clinux_unix_connect(const char *path, int milliseconds);
// To a listener for messages (SOCK_SEQPACKET).
int clinux_unix_connect_messages(const char *path, int milliseconds);
int clinux_accept(int listener);
// Of the process that connected, as it was then.
int clinux_peer(int socket, pid_t *pid, uid_t *uid);
// A pidfd of that process; ENOPROTOOPT where the kernel is older than 6.5.
int clinux_peer_pidfd(int socket);

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
int clinux_watch_closes(const char *path);
int clinux_watch_directory(const char *path);

// tap.c
enum { CLINUX_INTERFACE_NAME_SIZE = 16 };
// An open file of the tap driver that is no interface's queue yet: non-blocking, close-on-exec.
int clinux_tap_open(void);
// Makes the file a queue of the tap `name`, which is made where it is missing; EBUSY where `is_new` and it is there.
// A '%d' in the name becomes the first free number.
int clinux_tap_attach(int fd, const char *name, int is_new);
// Which tap the file is a queue of, and whether packets are kept from it; EBADFD where it is none.
int clinux_tap_query(int fd, char name[CLINUX_INTERFACE_NAME_SIZE], int *is_detached);
int clinux_tap_set_detached(int fd, int is_detached);
// Bytes of the header before each packet, of the whole interface.
int clinux_tap_get_header(int fd);
int clinux_tap_set_header(int fd, int size);
// Whether a packet waits in the queue.
int clinux_tap_is_readable(int fd);
// Sends all packets to one queue, by its position modulo the number of queues; -1: to each its flows again. Those that
// have the mark CLINUX_TAP_MARK + N go to the queue at N, where that is before the position.
enum { CLINUX_TAP_MARK = 0x70647500 };
int clinux_tap_steer(int fd, int position);

// link.c
// 0 where there is no such interface.
unsigned clinux_link_index(const char *name);
int clinux_link_delete(unsigned index);
// Keeps the kernel from giving it IPv6 addresses and from sending by itself.
int clinux_link_be_quiet(unsigned index);
// It takes what is sent to groups that the host is in, or to all there are.
int clinux_link_set_up(const char *name, int hears_all_groups);
int clinux_link_set_mtu(const char *name, int mtu);
int clinux_link_set_address(const char *name, const unsigned char address[6]);
int clinux_bridge_add(const char *bridge, const char *name);
int clinux_bridge_remove(const char *bridge, const char *name);
// A socket that sends frames, each after a virtio_net_hdr of 10 bytes, out of an interface; with a mark where it is
// not 0.
int clinux_link_sender(unsigned index, uint32_t mark);

// macvlan.c
enum { CLINUX_MACVLAN_PRIVATE = 1, CLINUX_MACVLAN_VEPA = 2, CLINUX_MACVLAN_BRIDGE = 4, CLINUX_MACVLAN_PASSTHRU = 8 };
// An interface with an address of its own on another one; NULL: with that one's address.
int clinux_macvlan_create(const char *name, unsigned parent, uint32_t mode, const unsigned char address[6]);
int clinux_link_set_alias(unsigned index, const char *alias);
// Sends out of one interface all that comes in by another, instead of what was done with that before.
int clinux_link_redirect(unsigned from, unsigned to);

// memory.c
void clinux_trim_memory(void);

// agent.c
// Starts polkit's agent for this process's terminal; it ends with the calling thread. With is_fallback others are asked
// rather. *ready is closed on its side once it can be asked, or has failed.
pid_t clinux_spawn_agent(const char *path, int is_fallback, int *ready);

// spawn.c
struct clinux_spawn {
    const char *path;
    char *const *argv;
    char *const *envp;
    int standard_output;      // becomes fds 1 and 2; fd 0 is /dev/null
    const int *inherited;     // stay open; all others close
    const int *numbers;       // what the child has each of them as; above 2
    int *scratch;             // room for as many
    size_t inherited_count;
    // The user and group that the child becomes, without any capability; 0 where it stays what it is. With a user it
    // also gets mounts of its own, all read-only and /run empty, and, unless `network` is set, an empty network.
    uid_t user;
    const gid_t *groups;      // besides the one that has the user's number
    size_t group_count;
    int network;
    int locks_memory;         // keeps the capability for that, and no other
};
// Forks a child that waits at a gate before it executes, and then can't gain privileges nor leave core dumps. It ends by itself when the gate is closed unopened.
// Returns its pid; *gate is the descriptor to open or close, *failure becomes readable with an errno (int) when
// exec fails and at end-of-file when it has succeeded.
pid_t clinux_spawn_gated(const struct clinux_spawn *request, int *gate, int *failure);
int clinux_open_gate(int gate);
