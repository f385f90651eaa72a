/* request/effect_parts: what the files of request/effect.h are made of. Pure. */
#ifndef REQUEST_EFFECT_PARTS_H
#define REQUEST_EFFECT_PARTS_H

#include "request/effect.h"
#include "store/redis_reply.h"

/* ---- commands of many arguments ----------------------------------------------------------------
 */

/* A command with these words in front, any number of arguments, and these behind: several of them
 * where there are many arguments. */
struct effect_parts {
    struct buf *out;
    const struct slice *front, *behind;
    size_t nfront, nbehind;
    struct buf args;
    size_t n;
    int made;
};
void effect_parts_add(struct effect_parts *p, struct slice arg);
/* The words may change now. */
void effect_parts_cut(struct effect_parts *p);
/* Returns how many commands it has become. */
int effect_parts_end(struct effect_parts *p);

/* In decimal, in this room. */
struct slice effect_number(char text[24], uint64_t v);

/* ---- streams --------------------------------------------------------------------------------- */

struct effect_id {
    uint64_t ms, seq;
};
bool effect_read_id(struct slice text, struct effect_id *id);
bool effect_same_id(struct slice a, struct slice b);
/* The id of an entry: an array of it and its fields, or (JUSTID) itself. */
bool effect_id_of(struct slice entry, struct slice *id);

/* ---- entries that are pending ---------------------------------------------------------------- */

struct effect_consumer {
    struct slice key, group, name;
};
/* These entries, in the order of ids, are the consumer's since now_ms, and have been delivered as
 * often as XPENDING's rows say (once, where they say nothing): returns how many commands tell. */
int effect_tell_pending(const struct effect_consumer *c, struct redis_array entries,
                        struct redis_array rows, uint64_t now_ms, struct buf *out);

/* ---- XREADGROUP: as the functions of effect.h ---------------------------------------------------
 */

struct effect_probes effect_group_probes(const struct resp_command *cmd, struct buf *out);
int effect_group_tell(const struct resp_command *cmd, const struct effect_replies *r,
                      struct buf *out);
unsigned effect_group_recovery_probes(const struct resp_command *cmd, struct buf *out);
int effect_group_recover(const struct resp_command *cmd, const struct slice *replies,
                         uint64_t now_ms, struct buf *out);

/* ---- memcached's: as the functions of effect.h -------------------------------------------------
 */

struct effect_probes effect_memcache_probes(const struct resp_command *cmd, struct buf *out);
int effect_memcache_tell(const struct resp_command *cmd, const struct effect_replies *r,
                         struct buf *out);
unsigned effect_memcache_recovery_probes(const struct resp_command *cmd, struct buf *out);
int effect_memcache_recover(const struct resp_command *cmd, const struct slice *replies,
                            uint64_t now_ms, struct buf *out);

#endif
