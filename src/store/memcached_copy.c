/* What dyn-admin and read repair ask of a memcached about one key:
 *
 *     settled? label    get | mg v f    me    touched?
 *
 * get, since mg takes the right to replace a stale value with it; but get can't name all keys. As
 * in redis_copy.c, where a batch that wasn't settled before has touched the key, the copy is worth
 * nothing (newest: the highest stamp there is). A stale value's copy isn't stale. */
#include "core/clock.h"
#include "core/mem.h"
#include "store/backend_side.h"
#include "store/memcached.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

struct copying {
    struct backend_question q;
    struct memcached *m;
    struct blob *key;
    bool command, odd;   /* odd: what was answered doesn't go together */
    store_copy_fn *copy; /* one of these */
    store_read_fn *inspect;
    void *arg;
    uint64_t settled;
    struct stamp label;
    struct buf value; /* RESP: as MG tells it */
    struct slice bytes, flags;
    struct store_copy out;
};

/* Blanks behind the digits of a number that has become shorter aren't its. */
static struct slice without_padding(struct slice value)
{
    size_t n = value.len;
    if (n > 20)
        return value;
    while (n && value.ptr[n - 1] == ' ')
        n--;
    for (size_t i = 0; i < n; i++)
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return value;
    return slice_of(value.ptr, n);
}

static void finish(struct copying *c)
{
    buf_fini(&c->value);
    blob_unref(c->key);
    mem_free(c);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void give_down(struct copying *c, const char *why)
{
    struct buf b = BUF_INIT;
    if (c->copy) {
        c->copy(c->arg, &(struct store_copy){.ok = false});
    } else {
        resp_add_error(&b, "BACKEND %s", why);
        c->inspect(c->arg, &(struct store_read_reply){.reply = buf_slice(&b)});
    }
    buf_fini(&b);
    finish(c);
}

/* The same key with a lifetime isn't the same copy as without. How long, is told by each memcached
 * from a clock of its own. */
static void give_inspection(struct copying *c)
{
    struct buf b = BUF_INIT;
    char digest[20] = "";
    if (c->out.exists)
        snprintf(digest, sizeof digest, "%016" PRIx64,
                 XXH64(&c->out.digest, sizeof c->out.digest, c->out.expires != 0));
    resp_add_array(&b, 5);
    resp_add_int(&b, c->out.exists);
    resp_add_status(&b, c->out.exists ? "value" : "none");
    resp_add_int(&b, (int64_t)c->out.bytes);
    resp_add_int(&b, (int64_t)c->label.stamp);
    resp_add_bulk_str(&b, digest);
    c->inspect(c->arg, &(struct store_read_reply){.ok = true,
                                                  .reply = buf_slice(&b),
                                                  .stamp = c->label.stamp,
                                                  .tag = c->label.tag});
    buf_fini(&b);
    finish(c);
}

static void add_command(struct copying *c, struct buf *b)
{
    char flags[24], lifetime[24];
    struct slice key = blob_slice(c->key);
    snprintf(flags, sizeof flags, "F%.*s", (int)c->flags.len, (const char *)c->flags.ptr);
    snprintf(lifetime, sizeof lifetime, "T%" PRIu64, c->out.expires / 1000);
    struct slice set[] = {slice_str("MS"), key, c->bytes, slice_str(flags), slice_str(lifetime)};
    struct slice delete[] = {slice_str("MD"), key};
    if (c->out.exists)
        resp_add_command(b, set, c->out.expires ? 5 : 4);
    else
        resp_add_command(b, delete, 2);
}

/* What is known of its stamps: as redis_copy.c has it. */
static void give_copy(struct copying *c)
{
    struct buf b = BUF_INIT;
    uint64_t hash = stamps_hash(blob_slice(c->key));
    if (c->command)
        add_command(c, &b);
    c->out.command = buf_slice(&b);
    c->out.ok = !(c->odd && c->command);
    backend_label_copy(&c->m->backend, hash, c->label, c->settled, &c->out);
    if (c->odd)
        c->out.newest = (struct store_stamp){UINT64_MAX, UINT16_MAX};
    c->copy(c->arg, &c->out);
    buf_fini(&b);
    finish(c);
}

/* [VA, value, f1] or [EN, nil] */
static void take_value(struct copying *c, struct slice reply)
{
    struct slice e, flags;
    struct resp_scanner scan = {0};
    struct error ignored;
    size_t at = 4, size, n = 0; /* behind "*3\r\n" */
    memcached_decode(reply, 0, &c->value);
    struct slice all = buf_slice(&c->value);
    for (; at < all.len; at += size, n++) {
        if (resp_reply_scan(&scan, all.ptr + at, all.len - at, &size, &ignored) != RESP_OK)
            return;
        e = slice_of(all.ptr + at, size);
        if (n == 1)
            c->out.exists = resp_reply_bulk(e, &c->bytes);
        else if (n == 2 && resp_reply_bulk(e, &flags) && flags.len)
            c->flags = slice_of(flags.ptr + 1, flags.len - 1);
    }
    if (!c->out.exists)
        return;
    uint64_t client_flags = 0;
    struct slice value = without_padding(c->bytes);
    (void)!memcached_number(c->flags, &client_flags);
    c->out.bytes = c->bytes.len;
    c->out.digest = XXH3_64bits_withSeed(value.ptr, value.len, client_flags + 1);
    c->out.weight = store_weight_string(value);
}

/* ME key exp=-1 ..., or EN. -1: it has none; else seconds from now, which 1.6.18 tells as negative.
 */
static void take_lifetime(struct copying *c, struct slice reply)
{
    struct slice line = memcached_line(reply), word;
    bool found = false;
    while (memcached_word(&line, &word))
        if (word.len > 4 && memcmp(word.ptr, "exp=", 4) == 0) {
            int64_t v = strtoll((const char *)word.ptr + 4, NULL, 10); /* a line end stops it */
            c->out.expires = v != -1 ? clock_wall_ms() + (uint64_t)llabs(v) * 1000 : 0;
            found = true;
        }
    c->out.expires_roughly = c->out.expires != 0;
    c->odd |= found != c->out.exists; /* it came or went meanwhile */
}

static void on_answer(struct backend_question *q, const struct slice *reply, const char *why,
                      bool sent)
{
    struct copying *c = (struct copying *)(void *)q;
    (void)sent;
    if (!reply) {
        give_down(c, why);
    } else if (q->left == 1) {
        c->odd |= memcached_is_error(*reply);
        take_value(c, *reply);
    } else {
        take_lifetime(c, *reply);
        if (c->copy)
            give_copy(c);
        else
            give_inspection(c);
    }
}

/* ---- questions ------------------------------------------------------------------------------ */

/* False: no item has such a key. */
static bool add_questions(struct slice key, struct buf *out)
{
    static const char *const forms[] = {"G", "f"}; /* get, mg f */
    struct slice argv[4] = {slice_str("MG"), key, slice_str("v")};
    struct slice debug[3] = {slice_str("MG"), key, slice_str("E")};
    struct error ignored;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        argv[3] = slice_str(forms[i]);
        if (memcached_encode(&(struct resp_command){.argv = argv, .argc = 4}, 0, out, &ignored))
            return memcached_encode(&(struct resp_command){.argv = debug, .argc = 3}, 0, out,
                                    &ignored);
    }
    return false;
}

static void ask(struct store_reader *reader, struct slice key, const struct copying *what)
{
    struct backend_side *s = (struct backend_side *)(void *)reader;
    struct copying *c = MEM_NEW(struct copying);
    *c = *what;
    c->m = memcached_of(reader->store);
    c->key = blob_new(key.ptr, key.len);
    c->q.answer = on_answer;
    c->settled = __atomic_load_n(&c->m->backend.settled, __ATOMIC_ACQUIRE);
    c->label = stamps_get(c->m->backend.stamps, stamps_hash(key));
    struct buf *out = backend_side_begin(s, &c->q);
    if (!out)
        return;
    if (add_questions(key, out)) {
        backend_side_ask(s, &c->q, 2);
    } else {
        backend_side_forget(&c->q);
        give_down(c, "memcached has no such keys");
    }
}

void memcached_copy(struct store_reader *reader, struct slice key, bool command, store_copy_fn *fn,
                    void *arg)
{
    ask(reader, key, &(struct copying){.command = command, .copy = fn, .arg = arg});
}

void memcached_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg)
{
    ask(reader, key, &(struct copying){.inspect = fn, .arg = arg});
}
