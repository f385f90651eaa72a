/* client/call: one command of one client on its way, from the parts that it was split into to its
 * one reply. Internal to the room. The worker's thread. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/client.h"
#include "client/recent.h"

#define HAZARDS   64                 /* buckets of keys, by token */
#define OUT_PAUSE (1u * 1024 * 1024) /* bytes of replies unsent: no more commands are run */

enum merge {
    MERGE_ONE,
    MERGE_SUM,
    MERGE_ARRAY, /* of the parts' only elements */
    MERGE_WHOLE, /* an array of their replies */
    MERGE_OK
};

struct call;
struct multi;
struct memcache_client;
/* Appends a reply of the stores (RESP2) as this call's client wants to read it. The worker's
 * thread.
 */
typedef void render_fn(const struct call *call, struct slice reply, struct buf *out);

/* How the replies of a client are to be written; set for each command before its call is made,
 * which takes it over. Zeroed: as they come. */
struct rendering {
    render_fn *fn;   /* NULL: as it comes */
    unsigned how;    /* the renderer's own, and */
    struct buf note; /* whatever else it has to know: the key that was asked for, say */
};

/* The protocol that a client speaks. */
struct dialect {
    /* The next command of `stream.in` into `cmd`, whose `size` it uses up, as
     * resp_request_parse; RESP_MORE: how much is wanted stands in stream.in_want. */
    enum resp_status (*parse)(struct client *c, struct error *e);
    /* Starts what the command asks for. False: it must wait for earlier calls; it is parsed again.
     */
    bool (*dispatch)(struct client *c);
    /* What is said before the connection closes. */
    void (*add_error)(struct buf *out, const char *text);
    /* What it needs for each connection; NULL: nothing. */
    void (*open)(struct client *c);
    void (*close)(struct client *c);
};
extern const struct dialect dialect_resp;     /* client/dispatch.c */
extern const struct dialect dialect_memcache; /* client/memcache.c */

struct part {
    struct call *call;
    uint32_t token;
    struct buf reply; /* only where there is more than one part */
};

struct call {
    struct client *client; /* NULL: it has gone */
    struct call *next;
    const struct command_spec *spec;
    enum merge merge;
    bool write, done;
    bool wide;        /* it has keys of many tokens in one part */
    bool carried;     /* a write that another node runs: later reads and writes both wait for it */
    uint32_t *tokens; /* of a carried one's keys, if they are several */
    size_t ntokens;
    bool failed; /* its reply is an error */
    uint64_t started_us;
    size_t size;  /* of a write: bytes of its command, counted in the client's `pending` */
    size_t bytes; /* of its parts' replies, */
    uint64_t max; /* and how many they may have together */
    struct rendering rendering;
    struct buf reply; /* as its client reads it, once it is done */
    size_t nparts, left;
    struct part parts[];
};

struct client {
    struct clients *all;
    struct stream stream;
    struct client *next, *prev, *next_dirty;
    bool is_dirty, closing, stalled;
    bool ended; /* nothing more comes from it; what it asked is answered */
    uint64_t id;
    uint64_t since_us, used_us;      /* mono: connected; the last look at its commands */
    const struct command_spec *last; /* its last command that there is; NULL: none */
    char *lib_name, *lib_ver;        /* as CLIENT SETINFO tells; NULL: it doesn't */
    enum client_mute {
        MUTE_NOTHING,
        MUTE_ALL,  /* CLIENT REPLY OFF */
        MUTE_NEXT, /* the next reply */
        MUTE_TWO,  /* the next two: that of CLIENT REPLY SKIP, and that of the command behind it */
    } mute;
    char *name;         /* NULL: none */
    bool authenticated; /* it has shown the password, or came when there was none */
    uint8_t resp;       /* the version that its replies are in: 2 or 3 */
    const struct dialect *dialect;
    struct memcache_client *memcache; /* of dialect_memcache */
    struct resp_parser parser;
    struct resp_command cmd;
    struct rendering rendering; /* of the command that is being dispatched */
    bool at_first; /* that one is asked of, or run by, request_first_replica and nobody else */
    struct call *first_call, *last_call;
    struct call *unwritten; /* the first whose reply isn't in the stream's buffer */
    size_t ncalls;
    size_t pending; /* bytes of writes in flight */
    size_t held;    /* bytes of replies that wait for earlier ones */
    size_t guess;   /* bytes that a reply may have, from those before */
    struct in_flight {
        uint32_t bucket[HAZARDS]; /* parts, by token */
        uint32_t all, wide;       /* parts; those of wide calls */
    } reads, writes;
    unsigned answered_at_once; /* reads that took no call, since now_us */
    struct recent recent;
    struct multi *multi; /* client/multi.h; NULL: neither MULTI nor WATCH */
    uint64_t taken;      /* of a client whose socket is full: bytes it had taken when that */
    uint64_t taken_ms;   /* was last looked at and more than before (mono; 0: never) */
    bool stuck;          /* it has taken nothing for a while, but asks for more: client/unread.h */
    size_t piled;        /* then: bytes counted in all->piled */
    bool full;           /* commands were left for want of room */
    bool again;          /* it has commands that may run, but others come first */
    bool solo;           /* a command for the whole ring runs: later ones wait */
    bool awaits;         /* a write of its waits for what peers run: request_await_carried */
    bool lagging;        /* its command waits for a replica that has its earlier writes, */
    uint64_t lag_until;  /* at most until then (mono ms); 0: it doesn't */
};

struct call *call_new(struct client *c, const struct command_spec *spec, size_t nparts);
/* It is a write, of a command of this size. */
void call_is_write(struct call *call, size_t size);
void call_free(struct call *call);
/* Its client has gone. */
void call_orphan(struct call *call);
/* A part's answer; the last one makes the call's. The callback of the request, arg is the part. */
void call_part_done(void *arg, const struct request_result *r);
/* More than one part, and together they have more than a reply may. */
bool call_too_large(const struct call *call);
/* For what is answered at once. */
void call_reply(struct call *call, struct slice reply);
void client_mark_dirty(struct client *c);
/* In the next turn, for which no event has to come. */
void client_look_again(struct client *c);
/* There is a password (requirepass), and it hasn't shown it. Who has stays in, whatever becomes of
 * the password. */
static inline bool client_must_authenticate(const struct client *c)
{
    return !c->authenticated && config_needs_password(c->all->config);
}
/* A part of this token begins, or ends. */
void call_part_starts(struct call *call, uint32_t token);
/* Counts a command that is answered. */
void client_count(struct clients *all, const struct command_spec *spec, bool error);
/* Bytes of replies that may wait unsent before no more commands are run. */
static inline size_t client_pause_at(const struct client *c)
{
    uint64_t max = c->all->config->client_output_max_bytes;
    return max < OUT_PAUSE ? (size_t)max : OUT_PAUSE;
}

/* ---- client/protocol.c: RESP2 or RESP3 */

/* The reply of the command that is being dispatched (c->cmd) will be written in the client's
 * protocol (c->resp); before its call is made. Again, where the command itself has changed that:
 * HELLO, RESET. spec NULL: an error, or something else without a shape. */
void client_render_for(struct client *c, const struct command_spec *spec);
/* Rendering would only copy it. False says nothing. */
bool call_reads_the_same(const struct call *call, struct slice reply);
/* For what is answered without a call, straight into the stream's buffer: whether that may be done,
 * and the reply, which stands there from `at` on, as the client reads it. */
bool client_can_rewrite(const struct client *c);
void client_rewrite(struct client *c, size_t at);

/* ---- dispatch.c */

/* Answers with an error. Returns true. */
bool client_fail(struct client *c, const struct command_spec *spec, const char *text);
/* Runs c->cmd, which reads or writes keys. False: it must wait. */
bool client_run_keys(struct client *c, const struct command_spec *spec);
/* Its command waits for a replica that has what it has written. False: it has waited long enough.
 */
bool client_lags(struct client *c);
/* `-ERR unknown command ...` as Redis words it. */
void reply_unknown(struct buf *out, const struct resp_command *cmd);

#endif
