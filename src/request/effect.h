/* request/effect: commands whose effect their arguments don't tell (DESIGN.md section 7, Effects).
 *
 * Two of them are chosen: the store is asked what there is, and what the command shall do is an
 * ordinary write then, the same on all replicas.
 *
 *     SPOP        SRANDMEMBER      --> SREM
 *     XADD *      XINFO STREAM     --> XADD with an id
 *
 * The others run at one store; from what that answers come the commands that do the same on the
 * other replicas, as Redis would pass them on:
 *
 *     XADD 5-*, ~ LIMIT  XADD with the id that it gave, and MINID = the first entry that is left
 *     XTRIM ~ LIMIT      XTRIM MINID = the first entry that is left
 *     XCLAIM             XCLAIM 0 FORCE of the entries that it gave. Those that it didn't give may
 *                        have been removed from the list of pending ones, where they are gone from
 *                        the stream: XCLAIM of them that claims none does that, too
 *     XAUTOCLAIM         XCLAIM ... TIME RETRYCOUNT FORCE JUSTID, and XACK of those that are gone
 *     XREADGROUP         XCLAIM ... TIME RETRYCOUNT FORCE JUSTID of what it delivered, XGROUP SETID
 *                        for how far its group has read, XGROUP CREATECONSUMER (effect_group.c)
 *     MS C c, MD C, ...  memcached's that name a unique: the same without (effect_memcache.c)
 *     EVAL EVALSHA FCALL of each key that isn't as before: RESTORE REPLACE ABSTTL, or DEL
 *     a transaction      one record: itself, or the same copies in one (effect_transaction.c)
 *
 * What the reply doesn't tell is asked of the store right before the command and right behind it,
 * in the same transaction: the probes. What all of these write are commands of which
 * command_undetermined is false. Commands come as command_normalize leaves them. Pure, any thread.
 */
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
    bool as_it_ran; /* they are what that store ran: it knows what they have overwritten */
};
struct effect effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                          const struct effect_replies *r, struct buf *out);

/* Where a command is known to have happened, but not its reply: what is to be asked, and from the
 * answers the commands that bring the others what it may have done, and do nothing where they have
 * it: a script's keys as they are now, entries that bear its id, the pending ones of its consumer.
 */
unsigned effect_recovery_probes(const struct command_spec *spec, const struct resp_command *cmd,
                                struct buf *out);
struct effect effect_recover(const struct command_spec *spec, const struct resp_command *cmd,
                             const struct slice *replies, uint64_t now_ms, struct buf *out);

/* ---- whole keys, and effect_transaction.c -------------------------------------------------- */

#define EFFECT_KEY_PROBES 3u
void effect_add_key_probes(struct slice key, struct buf *out);
/* From the answers to these: the command that makes the same of the key elsewhere. False: they
 * don't tell. */
bool effect_add_copy(struct slice key, const struct slice *replies, uint64_t now_ms,
                     struct buf *out) MUST_USE;
/* Is the key as it was? Of a key that has been there, and whose lifetime can't be asked for
 * exactly, that isn't known. */
bool effect_is_as_before(const struct slice *before, const struct slice *behind);
/* Of all keys that it writes, so many are appended. */
unsigned effect_transaction_probes(const struct resp_command *record, struct buf *out);
struct effect effect_transaction_tell(const struct resp_command *record,
                                      const struct effect_replies *r, struct buf *out);
int effect_transaction_recover(const struct resp_command *record, const struct slice *replies,
                               uint64_t now_ms, struct buf *out);

/* ---- what is chosen ------------------------------------------------------------------------- */

bool effect_is_chosen(const struct command_spec *spec, const struct resp_command *cmd);
/* What is left to choose from: of one key, as its store has answered. Zeroed: nothing is known. */
struct effect_pool {
    struct buf reply;            /* the store's */
    struct slice members, error; /* in it */
    size_t nmembers;             /* left to take */
    bool all;                    /* there are no others */
    bool exists;                 /* the stream */
    uint64_t last_ms, last_seq;  /* its newest id */
};
/* The question, for this command and `more` like it. */
void effect_add_question(const struct command_spec *spec, const struct resp_command *cmd,
                         size_t more, struct buf *out);
void effect_pool_fill(struct effect_pool *p, const struct command_spec *spec,
                      const struct resp_command *cmd, size_t more, struct slice answer);
void effect_pool_fini(struct effect_pool *p);
/* Takes out of the pool what the command shall do: so many commands are appended to `out`; and what
 * its client is told unless they fail to `reply`. -1: the pool hasn't enough, ask again. stamp: a
 * new one; an id is made of it, so that it lies above those of other nodes that this one has heard
 * of. */
int effect_choose(struct effect_pool *p, const struct command_spec *spec,
                  const struct resp_command *cmd, uint64_t stamp, struct buf *out,
                  struct buf *reply);

/* Reads the command at the start of `bytes`, which are what the functions above have appended, and
 * moves `bytes` behind it. False: there is none. */
bool effect_next(struct slice *bytes, struct slice *command, struct resp_command *cmd) MUST_USE;

#endif
