/* request/effect: what a command did whose arguments don't tell (DESIGN.md section 7, Effects). It
 * ran at one store; from what that answered come the commands that do the same on the other
 * replicas, as Redis would pass them on:
 *
 *     SPOP               SREM of what it gave
 *     XADD * or with ~   XADD with the id that it gave, and MINID = the first entry that is left
 *     XTRIM ~            XTRIM MINID = the first entry that is left
 *     XCLAIM             XCLAIM 0 FORCE of the entries that it gave. Those that it didn't give may
 *                        have been removed from the list of pending ones, where they are gone from
 *                        the stream: XCLAIM of them that claims none does that, too
 *     XAUTOCLAIM         XCLAIM ... TIME RETRYCOUNT FORCE JUSTID, and XACK of those that are gone
 *     EVAL, EVALSHA      of each key that isn't as before: RESTORE REPLACE ABSTTL, or DEL
 *
 * What the reply doesn't tell is asked of the store right before the command and right behind it,
 * in the same transaction: the probes. All of these are commands of which command_undetermined is
 * false. Pure, any thread. */
#ifndef REQUEST_EFFECT_H
#define REQUEST_EFFECT_H

#include "wire/command.h"

/* The probes of a command: appended to `out` (RESP, one behind the other), first those that run
 * before it. */
struct effect_probes {
    unsigned before, behind;
};
struct effect_probes effect_probes(const struct command_spec *spec, const struct resp_command *cmd,
                                   struct buf *out);

/* What the store answered: to the command and to its probes. */
struct effect_replies {
    struct slice own;
    const struct slice *before, *behind;
    uint64_t now_ms; /* wall clock */
};
struct effect {
    int n;          /* so many commands were appended; 0: it did nothing; -1: a probe was refused */
    bool also_here; /* the store where it ran needs them too, to have the same as the others */
};
struct effect effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                          const struct effect_replies *r, struct buf *out);

/* A key as it is at a store now: EFFECT_KEY_PROBES commands ask for it; from their answers comes
 * the one command that makes it the same elsewhere. False: one was refused. */
#define EFFECT_KEY_PROBES 3u
void effect_add_key_probes(struct slice key, struct buf *out);
bool effect_add_copy(struct slice key, const struct slice *replies, uint64_t now_ms,
                     struct buf *out) MUST_USE;

/* Reads the command at the start of `bytes`, which are what the functions above have appended, and
 * moves `bytes` behind it. False: there is none. */
bool effect_next(struct slice *bytes, struct slice *command, struct resp_command *cmd) MUST_USE;

#endif
