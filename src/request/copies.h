/* request/copies: a node's own part in read repair, its own repairs and other nodes': says what its
 * store has of a key and what that is worth (request/mend.h), and lets a copy take the place of
 * what it has. Each worker has one. The worker's thread. */
#ifndef REQUEST_COPIES_H
#define REQUEST_COPIES_H

#include "core/slots.h"
#include "peer/mail.h"
#include "request/mend.h"
#include "wire/frame.h"

struct copies {
    struct actor *worker, *writer;
    struct store_reader *reader;
    const uint64_t *settled_below; /* atomic; see request/writer.h */
    struct slots mending;          /* its own: mends at the writer, */
    size_t mending_bytes; /* and their commands' bytes: beyond MENDING_MAX no more is taken */
};

/* command: RESP, empty if it wasn't wanted; valid during the call. */
typedef void copies_copy_fn(void *arg, const struct mend_copy *c, struct slice command);
typedef void copies_mend_fn(void *arg, enum mend_result result);

/* The callbacks come once, now or later. Hidden keys have no copies. */
void copies_take(struct copies *all, struct slice key, bool command, copies_copy_fn *fn, void *arg);
/* To this node's store. */
void copies_mend(struct copies *all, const struct mend *m, copies_mend_fn *fn, void *arg);
/* A peer's FRAME_COPY or FRAME_MEND: its answer is the reply. */
void copies_serve(struct copies *all, const struct frame *f, store_read_fn *fn, void *arg);
void copies_mail_mend(struct copies *all, struct mail_mend *m); /* takes the message */
void copies_fini(struct copies *all); /* what waits for the writer has failed */

/* What goes over the link. */
void copies_pack(const struct mend_copy *c, struct slice command, struct buf *out);
/* False: it isn't one. *command is the caller's to free. */
bool copies_unpack(struct slice bytes, struct mend_copy *c, struct blob **command) MUST_USE;
void copies_pack_mend(const struct mend *m, struct buf *out);
bool copies_mend_result(struct slice reply, enum mend_result *out) MUST_USE;

#endif
