/* request/quorum: when is a request done, and with what (DESIGN.md section 8). Pure: words of
 * replicas in, a decision out. */
#ifndef REQUEST_QUORUM_H
#define REQUEST_QUORUM_H

#include "core/buf.h"
#include "peer/mail.h"
#include "request/level.h"
#include "wire/reply.h"

enum quorum_outcome {
    QUORUM_WAIT,
    QUORUM_DONE,     /* the level is met and every replica has the write or a log holds it */
    QUORUM_BLIND,    /* the same by hints alone: the reply is the one known beforehand */
    QUORUM_NOQUORUM, /* can't be met any more */
    QUORUM_NOHINT,   /* can't be met, and a log has refused */
};

/* What one replica said of a write. */
struct write_word {
    uint8_t verdict;    /* enum verdict */
    uint8_t datacenter; /* topology_datacenter */
    bool own, joining;
    struct blob *reply; /* of VERDICT_APPLIED, where it came */
};
/* *lacking: of NOQUORUM and NOHINT, where. */
enum quorum_outcome quorum_write(enum consistency level, bool sloppy, bool blind,
                                 const struct write_word *w, unsigned n, struct shortfall *lacking);
/* The reply that most of the counted replicas gave; ties go to the own store's, then to the
 * nearest. NULL: none came. */
struct blob *quorum_write_reply(enum consistency level, const struct write_word *w, unsigned n);

/* What one replica said to a read. Nearest first. */
struct read_word {
    bool asked, answered; /* answered without a reply: it failed, or is away and isn't asked */
    /* It has a write of this client's that a majority may lack: the answer is its word, or one that
     * agrees with it or is newer. */
    bool anchor;
    uint8_t group; /* of read_plan */
    uint8_t like;  /* the index of the first that gave the same reply: quorum_take */
    uint16_t tag;
    uint64_t stamp;
    struct blob *reply;
};
/* The reply of w[i] has come: compares it with the others. */
void quorum_take(struct read_word *w, unsigned n, unsigned i, enum reply_compare how);

enum read_outcome {
    READ_WAIT,
    READ_DONE,   /* *chosen is the index of the answer */
    READ_FAILED, /* *lacking says where */
};
enum read_outcome quorum_read(enum consistency level, const struct read_word *w, unsigned n,
                              unsigned groups, unsigned *chosen, struct shortfall *lacking);
/* How many more of a group should be asked now. impatient: those that were asked and are silent
 * aren't relied on. */
unsigned quorum_read_lacks(enum consistency level, const struct read_word *w, unsigned n,
                           unsigned group, bool impatient);
/* Some of those who answered gave different replies. */
bool quorum_read_differs(const struct read_word *w, unsigned n);

#endif
