/* client/call: one command of one client on its way, from the parts that it was split into to its
 * one reply. Internal to the room. The worker's thread. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/client.h"

#define HAZARDS 64 /* buckets of keys, by token */
#define RECENT  256

enum merge { MERGE_ONE, MERGE_SUM, MERGE_ARRAY, MERGE_OK };

struct part {
    struct call *call;
    uint32_t token;
    bool done;
    struct buf reply; /* only where there is more than one part */
};

struct call {
    struct client *client; /* NULL: it has gone */
    struct call *next;
    const struct command_spec *spec;
    enum merge merge;
    bool write, done;
    uint64_t started_us;
    struct buf reply;
    size_t nparts, left;
    struct part parts[];
};

struct client {
    struct clients *all;
    struct stream stream;
    struct client *next, *prev, *next_dirty;
    bool is_dirty, closing, stalled;
    uint64_t id;
    char *name;
    struct resp_parser parser;
    struct resp_command cmd, normal;
    struct call *first_call, *last_call;
    size_t ncalls;
    uint32_t reads[HAZARDS], writes[HAZARDS]; /* parts in flight, by bucket */
    struct recent {
        uint32_t token;
        int32_t node;
    } * recent; /* which replica has this client's last write of a key; by token */
};

struct call *call_new(struct client *c, const struct command_spec *spec, size_t nparts);
/* A part's answer; the last one makes the call's. The callback of the request, arg is the part. */
void call_part_done(void *arg, const struct request_result *r);
/* For what is answered at once. */
void call_reply(struct call *call, struct slice reply);
void client_mark_dirty(struct client *c);

/* Starts what the command asks for. False: it must wait for earlier calls; try again later. */
bool dispatch_command(struct client *c);
/* The commands that a node answers itself. False: it must wait. */
bool session_command(struct client *c, const struct command_spec *spec);
/* `-ERR unknown command ...` as Redis words it. */
void reply_unknown(struct buf *out, const struct resp_command *cmd);

#endif
