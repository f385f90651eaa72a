/* peer/mail: every message that workers, the writer and senders exchange. One list, so that the
 * conversations can be read in one place:
 *
 *   a write      worker --WRITE--> writer --WRITE (answered)--> worker
 *                                  writer --APPENDED--> sender --VERDICTS--> worker
 *   reads        worker --READS--> sender --READS (answered)--> worker
 *   from a peer  worker --GREET, INBOUND, LINK_GONE--> writer --LINK--> worker
 *                worker --DIAL--> sender           (the greeted node dials back)
 *                worker, sender --BEAT--> writer   (what a heartbeat told)
 *   a new node at another one's place
 *                writer --REPLACE--> sender --REPLACED--> writer   (it inherits the log)
 *   clients      worker --CLIENT--> worker         (accepted sockets are dealt out)
 *                worker --CLIENTS--> worker        (CLIENT LIST and KILL go round all of them)
 *   gossip       worker --GOSSIP--> gossip --LINK--> worker
 *   members      gossip --MEMBER--> writer         (brings ring, peers and senders there)
 *                writer --MOVED, GONE--> sender
 *   first peer   writer --SETTLE--> worker --SETTLE (answered)--> writer
 *   read repair  worker --MEND--> writer --MEND (answered)--> worker
 *                worker --BEATS_WANTED--> writer --LINK--> worker
 *   handoff      writer --SYNC--> sender --SYNC (answered)--> writer
 *   dyn-admin    admin --INSPECT--> worker --INSPECTED--> admin      (what each replica has of a
 * key)
 *                admin --ORDER--> sender --ORDER (answered)--> admin
 *                admin --ORDER--> writer --ORDER (answered)--> admin      (about an orphan;
 * STANDBY) admin --ORDER--> gossip --ORDER (answered)--> admin      (this node's state)
 *
 * The sender of a message gives it away; a WRITE goes back and forth as the same memory. */
#ifndef PEER_MAIL_H
#define PEER_MAIL_H

#include "core/actor.h"
#include "core/buf.h"
#include "ring/topology.h"
#include "store/store.h"

enum mail_type {
    MAIL_WRITE,
    MAIL_VERDICTS,
    MAIL_APPENDED,
    MAIL_READS,
    MAIL_GREET,
    MAIL_INBOUND,
    MAIL_LINK_GONE,
    MAIL_LINK,
    MAIL_DIAL,
    MAIL_CLIENT,
    MAIL_MET,
    MAIL_INSPECT,
    MAIL_INSPECTED,
    MAIL_REPAIR,
    MAIL_SYNC,
    MAIL_ORDER,
    MAIL_BEAT,
    MAIL_REPLACE,
    MAIL_REPLACED,
    MAIL_MEMBER,
    MAIL_GOSSIP,
    MAIL_MOVED, /* a bare msg to a sender: the ring has another address of its peer */
    MAIL_GONE,  /* a bare msg to a sender: its peer has left the ring, for good */
    MAIL_SETTLE,
    MAIL_DRAIN, /* a bare msg: a worker takes no more commands, and ends */
    MAIL_MEND,
    MAIL_CLIENTS,      /* struct roll in the client room */
    MAIL_BEATS_WANTED, /* a bare msg: the writer asks its peers how far their writes are */
};

/* What is known about one write on one replica. Order matters: a later word replaces an earlier one
 * only if it is greater. */
enum verdict {
    VERDICT_NONE,
    VERDICT_LOGGED,  /* in the log of a peer that is up */
    VERDICT_KEPT,    /* a hint, but not one that a power cut can't take */
    VERDICT_DURABLE, /* a hint, on disk */
    VERDICT_REFUSED, /* not kept: `why`; by the writer: nor there. By a sender, which had it in its
                        log: it may have gone out before */
    VERDICT_APPLIED, /* the replica has it; maybe with its reply */
};

enum refusal {
    REFUSAL_NONE,
    REFUSAL_FULL,
    REFUSAL_FULL_PEER, /* the cap of one peer */
    REFUSAL_WINDOW,    /* the peer has been down for longer than hints live */
    REFUSAL_DISK,
    REFUSAL_DISABLED,
    REFUSAL_TRUNCATED, /* thrown away before it had its verdict */
};

/* Made by the worker and its own again when it is answered: it keeps some for the next writes, so
 * that a write takes no memory. */
struct mail_write {
    struct msg msg;
    struct mail_write *next; /* the worker's, while it is none's */
    struct actor *worker;
    uint64_t ticket;
    struct buf command; /* normalized, RESP */
    uint32_t token;     /* of its key */
    unsigned nodes;     /* of the ring in which its replicas were looked up */
    uint64_t stamp;     /* the newest that the worker has heard of from those that ran its clients'
                           writes; the writer's answer: its own */
    bool barrier;       /* only comes back, when what came before it to its keys is in the logs */
    bool effect;       /* what it does, only the store that runs it knows: the own one does, and the
                          others get what it did */
    struct buf chosen; /* its reply unless it fails, where what it became gives another */
    bool want_replies; /* the level needs more than this node's own word */
    bool ring;         /* for every node of the ring, whatever it holds */
    uint16_t room, nreplicas; /* those that join are among them */
    /* the writer's answer */
    bool own_down; /* the own store, which has no log, can't serve: nothing was written */
    enum store_outcome own_outcome;
    struct buf own_reply; /* empty: this node is no replica */
    struct {
        uint64_t seq; /* in its log */
        uint16_t node;
        uint8_t verdict, why;
    } replica[]; /* nreplicas of them; set by the worker, answered by the writer */
};

struct mail_verdict {
    uint64_t ticket;
    uint16_t node;
    uint8_t verdict, why;
    uint32_t reply_len; /* 0: it has no reply */
    size_t reply_at;    /* in `replies`; several may have the same */
};
struct mail_verdicts {
    struct msg msg;
    struct buf replies;
    size_t n;
    struct mail_verdict v[];
};
static inline struct slice mail_verdict_reply(const struct mail_verdicts *m,
                                              const struct mail_verdict *v)
{
    return slice_of(buf_head(&m->replies) + v->reply_at, v->reply_len);
}

/* What the writer appended to a peer's log since its last word: everything up to `upto`, and who
 * waits for verdicts on it. The sender sends nothing that it hasn't been told of: an
 * acknowledgement never comes before the one who waits for it is known. */
struct mail_waiter {
    uint64_t seq, ticket;
    struct actor *worker;
    bool hint; /* it counted as one when it was appended: to be on disk is verdict enough */
};
struct mail_appended {
    struct msg msg;
    uint64_t upto;
    size_t n;
    struct mail_waiter waiter[];
};

/* Reads for one peer, or what it answered to them: peer/reads.h packs and unpacks them. */
struct mail_reads {
    struct msg msg;
    struct actor *worker; /* whose reads they are */
    uint16_t node;        /* the peer */
    struct buf items;
    bool large; /* some items have their bytes in a blob */
};

/* A link is named by its worker and a ticket of that worker's. */
struct link_ref {
    struct actor *worker;
    uint64_t ticket;
};
struct mail_greet {
    struct msg msg;
    struct link_ref link;
    uint16_t node;
    char id[NODE_ID_SIZE];
    uint64_t start_mark;
    uint64_t hints_upto;
    uint64_t wall_ms;
};
struct mail_inbound {
    struct msg msg;
    struct link_ref link;
    uint16_t node;
    size_t size;         /* of frames: the credit that comes back */
    struct blob *frames; /* whole frames, CRC checked */
};
struct mail_link_gone {
    struct msg msg;
    struct link_ref link;
    uint16_t node;
};
struct mail_link {
    struct msg msg;
    uint64_t ticket;
    bool close, welcome;
    size_t credit; /* bytes of inbound frames that are dealt with */
    struct buf frames;
};

struct mail_dial {
    struct msg msg;
};
struct mail_client {
    struct msg msg;
    int fd;
    bool peer;     /* a peer's connection, not a client's */
    struct buf in; /* what it has said already */
};
/* The admin asks a worker what each replica of a key has. */
struct mail_inspect {
    struct msg msg;
    struct actor *asker;
    uint64_t ticket; /* the asker's */
    struct blob *key;
};
struct mail_inspected {
    struct msg msg;
    uint64_t ticket;
    uint32_t token;
    unsigned n, joining; /* the last `joining` aren't replicas yet */
    struct {
        uint16_t node;
        bool asked;             /* by a read at DC_ONE, if those before it fail */
        struct blob *reply;     /* store_inspect's RESP array; NULL: the replica didn't answer */
    } replica[RING_WRITES_MAX]; /* in the order in which this node would ask them, behind these the
                                   replicas that it wouldn't */
};

/* A sender has met its peer: its id. To the writer. */
struct mail_met {
    struct msg msg;
    uint16_t node;
    char id[NODE_ID_SIZE];
    uint64_t wall_ms;
};
/* What dyn-admin wants of one peer's hints. The sender owns log and mark, so the admin asks it, and
 * gets the same memory back, answered: maybe at once, maybe when it has come about. */
struct mail_order {
    struct msg msg;
    struct actor *asker;
    uint64_t ticket; /* the asker's */
    uint16_t node;   /* from RING_NODES_MAX on: the orphans, of which the writer is asked */
    enum order {
        ORDER_PAUSE,
        ORDER_RESUME,
        ORDER_DRAIN,    /* dials now; done when it is linked */
        ORDER_TRUNCATE, /* done when nothing of it is on its way any more */
        ORDER_WAIT,     /* done when every hint that there is now is gone */
        ORDER_REPAIRED,
        ORDER_HANDOFF, /* of an orphan; done when all is in its heirs' logs */
        /* of this node: to the gossip actor where there is one, else to the writer */
        ORDER_STANDBY, /* out of reads, until ORDER_NORMAL or a restart */
        ORDER_NORMAL,
        ORDER_LEAVE, /* out of the ring for good; done when all its logs are delivered and it has
                        said so */
    } order;
    uint64_t until_ms; /* mono: nobody waits for the answer any more */
    /* the sender's answer */
    bool done;
    char reason[200];          /* why not */
    uint64_t records, bytes;   /* truncated; handed off: records */
    uint64_t dropped, expired; /* by a handoff: nobody is an heir; past their lifetime */
    /* while it waits there */
    struct mail_order *next;
    uint64_t upto;
};

/* What a heartbeat told of a peer. */
struct mail_beat {
    struct msg msg;
    uint16_t node;
    bool has_watermark, has_clock;
    uint64_t watermark;     /* peer/watermarks */
    int64_t clock_ahead_ms; /* its wall clock minus our steady one, when the word came */
};
/* The writer to a sender: the node with this id takes the peer's place and inherits its log; the
 * same message goes back when the log has its name. */
struct mail_replace {
    struct msg msg;
    uint16_t node;
    char before[NODE_ID_SIZE], id[NODE_ID_SIZE];
    bool done;
};
/* What came on another node's gossip connection: one message, not decoded yet. Comes back as
 * credit. */
struct mail_gossip {
    struct msg msg;
    struct link_ref link;
    struct blob *payload;
};
/* What is to be true of one member from now on, this node itself too. The writer finds it by its
 * id, else by its place (a seed that was never met), else it is a new peer; opens its log, starts
 * its sender, and publishes the ring. What is refused (a token that another node of its rack owns,
 * no room) is logged, rate-limited. */
struct mail_member {
    struct msg msg;
    struct ring_node node; /* strings and tokens are the message's: mail_member_free */
    enum node_state state; /* what membership says: goes to peer->member_state */
    uint64_t incarnation;  /* 0: not told */
    char reason[160];      /* of the state, one line for people */
};
struct mail_member *mail_member_new(const struct ring_node *n, enum node_state state,
                                    const char *reason); /* copies */
void mail_member_free(struct mail_member *m);

/* The node isn't alone any more. The writer to each worker: no write goes past the writer from now
 * on. Comes back as the same memory when none is on its way that did. */
struct mail_settle {
    struct msg msg;
    struct actor *asker;
};

/* A peer's wall clock, as it answered `took_ms` after it was asked. What took longer, because one
 * of the two processes was stopped or a link was full, doesn't tell what the clock shows: it isn't
 * passed on. Nor is a word that nobody asked for: nobody knows how long it lay in a socket. */
#define MAIL_CLOCK_LATE_MS 2000
void mail_clock(struct actor *writer, unsigned node, uint64_t wall_ms, uint64_t took_ms);
/* The writer to a sender: mark the peer as needing repair. */
struct mail_repair {
    struct msg msg;
    char reason[160];
};
/* A copy of a key that is to take the place of the one in this node's store (request/mend.h). Comes
 * back as the same memory. */
struct mail_mend {
    struct msg msg;
    struct actor *worker;
    uint64_t ticket; /* the worker's */
    struct blob *command;
    struct store_stamp overwrite;
    struct store_mend mend;
    /* the writer's answer */
    enum mend_result {
        MEND_APPLIED,
        MEND_NEWER, /* something newer has touched the key */
        MEND_FAILED /* the store can't, or was lost meanwhile; or it's no such command */
    } result;
};
void mail_mend_free(struct mail_mend *m);

/* The writer has appended to the peer's log and waits for it to be as durable as hints are. Comes
 * back as the same memory. */
struct mail_sync {
    struct msg msg;
    struct actor *asker;
    bool ok;
    char why[200];
};

#endif
