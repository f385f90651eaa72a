/* client/client: the applications' connections of one worker. Reads commands, starts what they ask
 * for, and sends the replies in the order of the commands.
 *
 *     bytes -> dialect -> session (PING, INFO, ...)      -> reply
 *                      -> multi (MULTI, EXEC, WATCH), ring_walk and ring_write (the whole ring)
 *                      -> dispatch -> request(s) -> call -> rendering -> reply
 *
 * The dialect is Redis's or memcached's; a rendering is RESP3's, memcached's, or none.
 *
 * A call is one command in flight; a connection's calls form a queue, and a reply leaves when all
 * before it have left. A read waits for the connection's earlier writes to the same key, a write
 * for its earlier reads: then the client sees its own writes, and pipelining changes nothing but
 * time. (Where all goes over one connection to a store, requests_direct, nothing has to wait.) */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "core/stream.h"
#include "peer/handshake.h"
#include "request/request.h"

struct client;
struct ring_walk;
struct tellers;
struct clients {
    struct actor *worker;
    const struct config *config;
    const struct identity *me;
    struct requests *requests;
    struct stats *stats;
    struct stats *const *all_stats; /* of every worker: INFO, and the cap on connections */
    unsigned nworkers;
    struct actor *next_worker; /* all workers stand in a circle */
    uint64_t started_ms;       /* mono */
    uint64_t now_us, wall_ms;  /* mono and wall, as of the last look at a socket */
    struct client *first, *dirty;
    struct ring_walk *walks; /* client/ring.h: on their way through the ring, and */
    struct tellers *tellers; /* whom they ask: of the newest ring; NULL: not known yet */
    size_t pending;          /* bytes of writes in flight */
    bool later;              /* some client is to be looked at again in the next turn */
    size_t piled;            /* bytes that wait for clients which take nothing: unread.h */
    size_t pile_left;        /* bytes by which that may grow in this turn */
    bool any_blocked;        /* some client's socket is full: clients_tick looks */
    uint64_t last_id;
    unsigned id_step, id_offset; /* ids are unique over workers */
};

/* Takes an accepted socket; answers and closes it when there are client_connections already. `in`:
 * what was read of it before; emptied. */
void client_accept(struct clients *all, int fd, struct buf *in);
void clients_flush(struct clients *all); /* at the turn's end */
/* About once a second: clients that take nothing of what they asked for (client/unread.h). */
void clients_tick(struct clients *all, uint64_t now_ms);
/* Nothing is asked of the stores any more: at the worker's stop. */
void clients_stop(struct clients *all);
void clients_close(
    struct clients *all); /* at the worker's stop: what is in flight gets no more answers */
/* A MAIL_CLIENTS: CLIENT LIST or CLIENT KILL on its way round the workers. Takes the message. The
 * second: where nobody receives mail any more, all workers being over. */
void clients_mail(struct clients *all, struct msg *m);
void clients_mail_drop(struct msg *m);
/* Stop taking commands; true when nothing is in flight any more. */
bool clients_quiesce(struct clients *all);

#endif
