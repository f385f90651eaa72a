/* sim/data_os: what a real server stands on, in virtual time: memory, threads, clocks, timers,
 * sockets and files, each node's own. The program sim_data has these in the place of core/actor,
 * core/clock, core/listener, core/log, core/mem, core/rcu, core/stream, of libuv's timers and of
 * the system's files; everything above them is what ships.
 *
 *     os_begin(net, nodes, seed);
 *     os_boot(node);                       a new life: no memory, its clocks anew; the files of the
 *                                          last one
 *     unsigned before = os_enter(node);    what is called now runs on this node ...
 *     server_start(...);
 *     os_leave(before);                    ... and what was deferred is freed
 *     os_kill(node);                       as kill -9: its memory goes, its files stay. (A stop
 * joins its actors before, which lets the rest of the world run.) os_lose_power(node); after it: of
 * its files stays what was synced, and by chance some of the rest os_end();
 *
 * An actor is no thread but a queue: its turn comes some microseconds after it was rung for, by
 * chance, so that the actors of a node run in any order. One thread, all of it. */
#ifndef SIM_DATA_OS_H
#define SIM_DATA_OS_H

#include "net.h"

#define OS_NODES_MAX 10
#define OS_NOBODY    OS_NODES_MAX       /* the simulator itself */
#define OS_SHARED    (OS_NODES_MAX + 1) /* what all nodes of a process share, for ever */

struct os_options {
    unsigned hop_us;    /* a turn comes up to so long after the ring */
    unsigned window;    /* bytes that a stream takes before it is full */
    unsigned fail_sync; /* one fdatasync in so many fails; 0: none */
};

void os_begin(struct net *net, uint64_t seed);
void os_set_options(const struct os_options *o);
void os_end(void);
void os_boot(unsigned node);
void os_kill(unsigned node);
void os_lose_power(unsigned node);
unsigned os_enter(unsigned node);
void os_leave(unsigned before);
unsigned os_current(void);
struct chance *os_chance(void);
struct net *os_net(void);
/* Lines of the log, with virtual time and node; else they are only counted. */
void os_show_log(bool show);
uint64_t os_wall_ms(unsigned node);

/* The network's handlers of a node that runs a server. */
struct net_handlers os_handlers(void);
/* A connection breaks: both its ends are told. */
void os_break_stream(uint32_t stream);
/* A stream that stands between two servers, by chance; 0: there is none. */
uint32_t os_some_link(void);

/* ---- files (data_disk.c) ---- */
void disk_begin(void);
void disk_end(void);
void disk_close_all(unsigned node); /* descriptors and mappings of a process that died */
void disk_lose_power(unsigned node);
void disk_wipe(unsigned node); /* an empty disk */
/* fn for each file below the node's root whose name ends so; its bytes may be changed. */
void disk_each(unsigned node, const char *suffix, void (*fn)(uint8_t *bytes, size_t size));
/* So many bytes are left on this node's disk. */
void disk_set_room(unsigned node, size_t bytes);

#define OS_FILE_BASE   (1 << 24) /* descriptors of files */
#define OS_STREAM_BASE (1 << 26) /* and of streams */
void os_close_stream(int fd);

#endif
