/* request/quorum: when is a request done, and with what (DESIGN.md section 8). Pure: words of
 * replicas in, a decision out. */
#ifndef REQUEST_QUORUM_H
#define REQUEST_QUORUM_H

#include "config/config.h"
#include "core/buf.h"
#include "peer/mail.h"

enum quorum_outcome {
    QUORUM_WAIT,
    QUORUM_DONE,     /* the level is met and every replica has the write or a log holds it */
    QUORUM_BLIND,    /* the same by hints alone: the reply is the one known beforehand */
    QUORUM_NOQUORUM, /* can't be met any more */
    QUORUM_NOHINT,   /* can't be met, and a log has refused */
};

/* What one replica said of a write. */
struct write_word {
    uint8_t verdict; /* enum verdict */
    bool local, own;
    struct blob *reply; /* of VERDICT_APPLIED, where it came */
};
enum quorum_outcome quorum_write(enum consistency level, bool sloppy, bool blind,
                                 const struct write_word *w, unsigned n, unsigned *applied);
/* The reply that most of the local replicas gave; ties go to the own store's, then to the nearest.
 * NULL: none came. */
struct blob *quorum_write_reply(const struct write_word *w, unsigned n);

/* What one replica answered to a read. */
struct read_word {
    bool answered, failed;
    uint64_t stamp;
    uint16_t tag;
    struct blob *reply;
};
/* Enough of the words are there (need of them): the index of the answer, or -1: they differ and
 * have no stamps to tell which is newer, ask the others too (`all`: everybody was asked; then what
 * most gave, then the nearest). */
int quorum_read(const struct read_word *w, unsigned n, bool all);

#endif
