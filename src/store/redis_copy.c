/* What read repair asks of a Redis about one key: its type, then its content, of which only a
 * digest is kept, then its lifetime, and if it is wanted DUMP. DUMP isn't what is compared: of two
 * equal sets each Redis writes the elements in an order of its own, and of equal streams the times
 * at which it last saw the consumers.
 *
 *     settled? label    TYPE    GET | LRANGE | SMEMBERS | ... PEXPIRETIME PTTL [DUMP]    touched?
 *
 * Several commands, between which the writing side may write. It is asked afterwards: where a batch
 * that wasn't settled before has touched the key, the copy is worth nothing (newest: the highest
 * stamp there is). Else the label is exactly that of the value. */
#include "core/clock.h"
#include "core/mem.h"
#include "store/redis.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define DEPTH_MAX 8

struct copying {
    struct redis *r;
    struct backend_conn *conn;
    struct blob *key;
    bool command, odd; /* odd: what was answered doesn't go together */
    store_copy_fn *fn;
    void *arg;
    uint64_t settled;
    struct stamp label;
    const struct kind *kind; /* NULL: TYPE isn't answered yet */
    size_t answers;
    int64_t pttl;
    struct buf dump;
    struct store_copy copy;
};

/* How a type's content is had and added up. */
struct kind {
    const char *type, *question[6]; /* the key goes behind the first (the second word of XINFO) */
    unsigned together;              /* elements that belong together; 0: in order */
};
static const struct kind kinds[] = {
    {"string", {"GET"}, 0},
    {"list", {"LRANGE", "0", "-1"}, 0},
    {"set", {"SMEMBERS"}, 1},
    {"hash", {"HGETALL"}, 2},
    {"zset", {"ZRANGE", "0", "-1", "WITHSCORES"}, 0},
    {"stream", {"XINFO STREAM", "FULL", "COUNT", "0"}, 0},
    {"", {"DUMP"}, 0}, /* of a module */
};

/* ---- digests ----------------------------------------------------------------------------------
 */

static uint64_t mix(uint64_t h, struct slice s)
{
    return XXH3_64bits_withSeed(s.ptr, s.len, h + s.len);
}

/* Of a set's members, of a hash's pairs: the same in any order. */
static uint64_t digest_unordered(struct redis_array a, unsigned together)
{
    uint64_t sum = a.left;
    struct slice element;
    while (a.left) {
        uint64_t h = 1;
        for (unsigned i = 0; i < together && redis_array_next(&a, &element); i++)
            h = mix(h, element);
        sum += h;
    }
    return sum;
}

/* What each Redis has of its own: how a stream lies in memory, when a consumer was last seen. */
static bool is_private(struct slice element)
{
    static const char *const names[] = {"radix-tree-keys", "radix-tree-nodes", "seen-time",
                                        "active-time"};
    struct slice name;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (resp_reply_bulk(element, &name) && slice_eq(name, slice_str(names[i])))
            return true;
    return false;
}

static uint64_t digest_ordered(uint64_t h, struct slice reply, unsigned depth)
{
    struct redis_array a;
    struct slice element;
    if (depth == 0 || !redis_array_open(reply, &a))
        return mix(h, reply);
    h += a.left;
    for (bool skip = false; redis_array_next(&a, &element);) {
        if (!(skip && element.len && element.ptr[0] == ':'))
            h = digest_ordered(h, element, depth - 1);
        skip = is_private(element);
    }
    return h;
}

static void take_content(struct copying *c, struct slice reply)
{
    struct slice value;
    struct redis_array a;
    c->copy.exists = true;
    c->copy.bytes = c->copy.weight = reply.len;
    if (resp_reply_is_error(reply) || redis_is_nil(reply)) {
        c->odd = true; /* it lapsed meanwhile */
    } else if (resp_reply_bulk(reply, &value) && strcmp(c->kind->type, "string") == 0) {
        c->copy.digest = store_digest_string(value);
        c->copy.weight = store_weight_string(value);
        c->copy.bytes = value.len;
    } else {
        uint64_t seed = (uint64_t)(c->kind - kinds) + 1;
        c->copy.digest = c->kind->together && redis_array_open(reply, &a)
                             ? seed + digest_unordered(a, c->kind->together)
                             : digest_ordered(seed, reply, DEPTH_MAX);
    }
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static void end(struct copying *c, bool ok)
{
    struct buf b = BUF_INIT;
    char at[24];
    c->copy.ok = ok;
    if (ok && c->command) {
        snprintf(at, sizeof at, "%" PRIu64, c->copy.expires);
        struct slice key = blob_slice(c->key);
        struct slice argv[] = {slice_str("RESTORE"), key,
                               slice_str(at),        buf_slice(&c->dump),
                               slice_str("REPLACE"), slice_str("ABSTTL")};
        if (c->copy.exists)
            resp_add_command(&b, argv, ARRAY_LEN(argv));
        else
            resp_add_command(&b, (struct slice[]){slice_str("DEL"), key}, 2);
        c->copy.command = buf_slice(&b);
    }
    c->fn(c->arg, &c->copy);
    buf_fini(&b);
    buf_fini(&c->dump);
    blob_unref(c->key);
    mem_free(c);
}

/* What is known of its stamps: see above. */
static void finish(struct copying *c)
{
    uint64_t hash = stamps_hash(blob_slice(c->key));
    backend_label_copy(&c->r->backend, hash, c->label, c->settled, &c->copy);
    if (c->odd)
        c->copy.newest = (struct store_stamp){UINT64_MAX, UINT16_MAX};
    end(c, !(c->odd && c->command));
}

static void take_lifetime(struct copying *c, struct slice reply)
{
    int64_t v;
    if (resp_reply_int(reply, &v))
        c->copy.expires = v > 0 ? (uint64_t)v : 0;
    else
        c->copy.expires_roughly = true; /* before 7.0 there is only PTTL */
}

static void take_ttl(struct copying *c, struct slice reply)
{
    int64_t v;
    if (!resp_reply_int(reply, &v) || v == -2)
        c->odd = true;
    else if (c->copy.expires_roughly)
        c->copy.expires = v >= 0 ? clock_wall_ms() + (uint64_t)v : 0;
}

/* The content, PEXPIRETIME, PTTL, DUMP. */
static void on_answer(void *arg, const struct slice *reply)
{
    struct copying *c = arg;
    struct slice dump;
    if (!reply) {
        end(c, false);
        return;
    }
    switch (c->answers++) {
    case 0:
        take_content(c, *reply);
        break;
    case 1:
        take_lifetime(c, *reply);
        break;
    case 2:
        take_ttl(c, *reply);
        if (!c->command)
            finish(c);
        break;
    default:
        if (resp_reply_bulk(*reply, &dump))
            buf_add(&c->dump, dump.ptr, dump.len);
        else
            c->odd = true;
        finish(c);
    }
}

static void ask(struct copying *c)
{
    struct buf *out = backend_conn_out(c->conn);
    struct slice key = blob_slice(c->key), argv[8];
    size_t n = 0;
    const char *first = c->kind->question[0], *blank = strchr(first, ' ');
    argv[n++] = slice_of(first, blank ? (size_t)(blank - first) : strlen(first));
    if (blank)
        argv[n++] = slice_str(blank + 1);
    argv[n++] = key;
    for (size_t i = 1; c->kind->question[i]; i++)
        argv[n++] = slice_str(c->kind->question[i]);
    resp_add_command(out, argv, n);
    redis_add_pair(c->conn, "PEXPIRETIME", key);
    redis_add_pair(c->conn, "PTTL", key);
    if (c->command)
        redis_add_pair(c->conn, "DUMP", key);
    backend_conn_expect(c->conn, c->command ? 4 : 3, on_answer, c);
    backend_conn_flush_later(c->conn);
}

static void on_type(void *arg, const struct slice *reply)
{
    struct copying *c = arg;
    if (!reply || resp_reply_is_error(*reply)) {
        end(c, false);
        return;
    }
    struct slice type = redis_text(*reply);
    if (slice_eq(type, slice_str("none"))) {
        finish(c);
        return;
    }
    for (c->kind = kinds; *c->kind->type; c->kind++)
        if (slice_eq(type, slice_str(c->kind->type)))
            break;
    ask(c);
}

void redis_copy(struct store_reader *reader, struct slice key, bool command, store_copy_fn *fn,
                void *arg)
{
    struct backend_conn *conn = redis_reader_conn(reader);
    struct redis *r = (struct redis *)(void *)reader->store;
    if (!backend_conn_ready(conn) || !store_is_up(reader->store)) {
        fn(arg, &(struct store_copy){.ok = false});
        return;
    }
    struct copying *c = MEM_NEW(struct copying);
    *c = (struct copying){.r = r,
                          .conn = conn,
                          .key = blob_new(key.ptr, key.len),
                          .command = command,
                          .fn = fn,
                          .arg = arg,
                          .settled = __atomic_load_n(&r->backend.settled, __ATOMIC_ACQUIRE)};
    c->label = stamps_get(r->backend.stamps, stamps_hash(key));
    redis_add_pair(conn, "TYPE", key);
    backend_conn_expect(conn, 1, on_type, c);
    backend_conn_flush_later(conn);
}
