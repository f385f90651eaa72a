/* store/stamps: the stamp table of a node whose backend has no place for stamps: for each key the
 * stamp of the last overwrite that was applied (DESIGN.md section 7). A file of fixed size in
 * data_dir, mapped shared: what was stored is there after `kill -9`.
 *
 *     | head, 4096 | intents, 1024 x 40 | buckets of 4 slots x 16 bytes ...
 *     slot:  | 48 bits of the key's hash | tag 16 |   stamp 64   |     stamp 0: free
 *
 * The hash is XXH3 (64 bits). Its upper half chooses the bucket, its lower 48 bits stand in the
 * slot: with the default size two keys are taken for one with 64 equal bits only. A full bucket
 * gives up its oldest stamp. From then on a write that isn't newer than the newest stamp given up,
 * to a key that isn't in the table, can't be decided: STAMP_UNKNOWN.
 *
 * Stamps that need no guard any more (stamps_forget) are given up as well, so that with all members
 * up the table is all but empty. The head has a map of the places in which something may stand, so
 * that nobody reads through a table of which little was used.
 *
 * Intents. An entry may be stored only when its overwrite is applied, or a failed one would keep
 * older writes out. A process killed in between would forget the stamp of a write that it never
 * gets again (its number says that it is applied). So the overwrites of a transaction are noted
 * first, with their numbers; stamps_settle turns them into entries when the outcome is known, after
 * a restart from the numbers that the backend has.
 *
 * After a power cut pages may be missing: the file remembers the boot it was used in; after another
 * one that it wasn't closed for, all that is older than now is undecided, as in a new file.
 *
 * A flush is an overwrite of every key: its stamp stands in the head, and counts for the keys that
 * have none in the table, or an older one. It is noted before it goes out, since from then on
 * nothing older may come in; readers hear of it when it is done.
 *
 * Threads: stamps_get from any, everything else from the writer. A slot is two atomics; the stamp
 * is 0 while the other half changes and is read twice, so a reader sees a whole pair or nothing. */
#ifndef STORE_STAMPS_H
#define STORE_STAMPS_H

#include "core/buf.h"
#include "core/error.h"

#define STAMPS_INTENTS   1024u
#define STAMPS_MIN_BYTES (64u * 1024) /* of slots; less is raised to this */

struct stamps;

struct stamp {
    uint64_t stamp; /* 0: none is known */
    uint16_t tag;
};

/* An overwrite on its way. */
struct stamp_intent {
    uint64_t hash; /* of the key */
    uint64_t stamp;
    uint64_t seq;    /* the write's number; 0: it has none */
    uint64_t source; /* hash of the id of the node whose number it is */
    uint32_t mark;   /* the caller's; means nothing after a restart */
    uint16_t tag;
};

enum stamp_verdict {
    STAMP_FRESH,   /* not older than the last overwrite of the key */
    STAMP_OLDER,   /* strictly older: drop the write */
    STAMP_PENDING, /* strictly older than an overwrite whose outcome isn't known yet */
    STAMP_UNKNOWN, /* the key isn't there, and something as new may have been given up */
};

/* Opens or makes the table; `bytes` are those of its slots. A damaged file and one of another size
 * are started anew, with a line in the log. wall_ms: now. False: the file can't be made. */
struct stamps *stamps_open(const char *path, uint64_t bytes, uint64_t wall_ms,
                           struct error *e) MUST_USE;
void stamps_close(struct stamps *t); /* NULL is fine */

uint64_t stamps_hash(struct slice bytes);
struct stamp stamps_get(const struct stamps *t, uint64_t hash);
/* It will be asked for soon: the table is larger than any cache. */
void stamps_expect(const struct stamps *t, uint64_t hash);
enum stamp_verdict stamps_judge(const struct stamps *t, uint64_t hash, struct stamp s);

/* A flush with this stamp: is there a newer one? It goes out; the last one that did is done. Was
 * the key overwritten at this stamp or later, as far as that is known? */
bool stamps_is_flushed_later(const struct stamps *t, struct stamp s);
void stamps_flush(struct stamps *t, struct stamp s);
void stamps_flush_done(struct stamps *t);
bool stamps_outlives(const struct stamps *t, uint64_t hash, struct stamp s);

/* How many overwrites may be noted before the next stamps_settle. */
size_t stamps_room(const struct stamps *t);
/* Notes an overwrite. False: STAMPS_INTENTS are noted already; settle first. */
bool stamps_intend(struct stamps *t, const struct stamp_intent *i) MUST_USE;
/* Forgets all intents; those of which applied(arg, intent) is true become entries. */
void stamps_settle(struct stamps *t, bool (*applied)(void *arg, const struct stamp_intent *i),
                   void *arg);
/* Overwrites of this stamp are about to happen that can't be noted: until they are entries, a kill
 * of this process would lose them, so that they count as given up. */
void stamps_give_up(struct stamps *t, uint64_t stamp);
/* The newest stamp that was given up; any thread. */
uint64_t stamps_floor(const struct stamps *t);
/* An overwrite that is known to be in the backend, and wasn't noted before. */
void stamps_note(struct stamps *t, uint64_t hash, struct stamp s);
uint64_t stamps_evicted(const struct stamps *t); /* given up for want of room since the open */
/* No write below this stamp comes any more. Gives up what is lower, some of it in each call. */
void stamps_forget(struct stamps *t, uint64_t below);
/* Entries; any thread. A figure: a kill may leave it off by one. */
uint64_t stamps_count(const struct stamps *t);

#endif
