/* The reading side of the Redis store, which at a node that is alone takes the clients' writes as
 * well. */
#include "core/mem.h"
#include "store/backend_side.h"
#include "store/redis.h"
#include "wire/transaction.h"
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define DUMP_TAIL 10 /* version and checksum at the end of DUMP's answer */

struct redis_side {
    struct backend_side side;
    uv_loop_t *loop;
    struct redis_watches watches;
};

/* One store_read or store_inspect on its way. */
struct pending {
    struct backend_question q;
    struct redis *r;
    store_read_fn *fn;
    void *arg;
    struct stamp label; /* the key's, when the read was sent: see backend.h */
    enum { PLAIN, WRITE, SIZE, SCAN, INSPECT } kind;
    bool block; /* a transaction: MULTI, its commands, EXEC; the last answer is the answer */
    struct detail *more; /* what a plain read that goes well does without; or NULL */
};
struct detail {
    char fault[256]; /* Redis couldn't serve: why; "": it could */
    int64_t number;  /* SIZE: keys; INSPECT: length of a string, -1 where it is none */
    int64_t expires; /* INSPECT: ms, -1: never, or too old a Redis to ask */
    char type[16];   /* INSPECT */
    struct buf dump; /* INSPECT */
};

static struct detail *detail(struct pending *p)
{
    if (!p->more)
        p->more = MEM_NEW(struct detail);
    return p->more;
}

/* ---- answers
 * ---------------------------------------------------------------------------------------- */

static void answer(struct pending *p, bool ok, struct slice reply)
{
    struct store_read_reply r = {
        .ok = ok, .reply = reply, .stamp = p->label.stamp, .tag = p->label.tag};
    p->fn(p->arg, &r);
    if (p->more) {
        buf_fini(&p->more->dump);
        mem_free(p->more);
    }
    mem_free(p);
}

/* sent: Redis may have got it. */
static void answer_down(struct pending *p, const char *why, bool sent)
{
    struct buf b = BUF_INIT;
    const char *effect = p->kind != WRITE ? ""
                         : sent           ? "; the write may still take effect"
                                          : "; nothing was written";
    resp_add_error(&b, "BACKEND %s%s", why, effect);
    answer(p, false, buf_slice(&b));
    buf_fini(&b);
}

/* Redis says that it can't serve: so says the store, and its writing side looks after it. */
static void doubt(struct redis *r, const char *why)
{
    if (!__atomic_load_n(&r->doubt_open, __ATOMIC_ACQUIRE))
        return;
    store_set_down(&r->backend.base, why);
    uv_async_send(&r->doubt);
}

static void answer_size(struct pending *p, struct slice reply)
{
    int64_t n = 0;
    struct buf b = BUF_INIT;
    if (p->q.left > 0) {
        if (!resp_reply_int(reply, &p->more->number))
            p->more->number = 0;
        return;
    }
    if (resp_reply_int(reply, &n))
        p->more->number -= n;
    resp_add_int(&b, p->more->number);
    answer(p, true, buf_slice(&b));
    buf_fini(&b);
}

static bool hidden(struct slice element)
{
    struct slice key;
    size_t n = sizeof STORE_HIDDEN_PREFIX - 1;
    return resp_reply_bulk(element, &key) && key.len >= n &&
           memcmp(key.ptr, STORE_HIDDEN_PREFIX, n) == 0;
}

/* *2 cursor keys: the same without our keys. */
static void answer_scan(struct pending *p, struct slice reply)
{
    struct redis_array outer, inner;
    struct slice cursor, keys, key;
    if (!redis_array_open(reply, &outer) || !redis_array_next(&outer, &cursor) ||
        !redis_array_next(&outer, &keys) || !redis_array_open(keys, &inner)) {
        answer(p, true, reply);
        return;
    }
    struct buf list = BUF_INIT, b = BUF_INIT;
    size_t n = 0;
    while (redis_array_next(&inner, &key)) {
        if (hidden(key))
            continue;
        buf_add(&list, key.ptr, key.len);
        n++;
    }
    resp_add_array(&b, 2);
    buf_add(&b, cursor.ptr, cursor.len);
    resp_add_array(&b, n);
    buf_add(&b, buf_head(&list), list.len);
    answer(p, true, buf_slice(&b));
    buf_fini(&b);
    buf_fini(&list);
}

/* The same key with another lifetime isn't the same copy. */
static void add_digest(struct buf *b, const struct pending *p)
{
    char text[20];
    uint64_t h = XXH64(buf_head(&p->more->dump), p->more->dump.len,
                       XXH64(p->more->type, strlen(p->more->type), 0));
    if (p->more->expires >= 0)
        h = XXH64(&p->more->expires, sizeof p->more->expires, h);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)h);
    resp_add_bulk_str(b, text);
}

static void finish_inspect(struct pending *p)
{
    bool exists = p->more->dump.len > 0;
    struct buf b = BUF_INIT;
    resp_add_array(&b, 5);
    resp_add_int(&b, exists);
    resp_add_status(&b, exists ? p->more->type : "none");
    resp_add_int(&b, !exists                ? 0
                     : p->more->number >= 0 ? p->more->number
                                            : (int64_t)p->more->dump.len);
    resp_add_int(&b, (int64_t)p->label.stamp);
    if (exists)
        add_digest(&b, p);
    else
        resp_add_bulk_str(&b, "");
    answer(p, true, buf_slice(&b));
    buf_fini(&b);
}

/* TYPE, STRLEN, DUMP, PEXPIRETIME */
static void take_inspect(struct pending *p, struct slice reply)
{
    struct slice s = redis_text(reply);
    switch (p->q.left) {
    case 3:
        snprintf(p->more->type, sizeof p->more->type, "%.*s", (int)s.len, (const char *)s.ptr);
        break;
    case 2:
        if (!resp_reply_int(reply, &p->more->number))
            p->more->number = -1;
        break;
    case 1:
        if (resp_reply_bulk(reply, &s) && s.len > DUMP_TAIL)
            buf_add(&p->more->dump, s.ptr, s.len - DUMP_TAIL);
        break;
    default:
        if (!resp_reply_int(reply, &p->more->expires))
            p->more->expires = -1;
        finish_inspect(p);
    }
}

/* A command of the read was refused by Redis's state. A client's own write that finds it full is
 * told so by Redis. */
static void note_fault(struct pending *p, struct slice reply)
{
    if (!resp_reply_is_error(reply))
        return;
    struct slice text = redis_text(reply);
    enum redis_fault fault = redis_fault_of(text);
    if (fault == REDIS_FAULT_COMMAND || (fault == REDIS_FAULT_FULL && p->kind == WRITE))
        return;
    struct detail *d = detail(p);
    if (!d->fault[0])
        snprintf(d->fault, sizeof d->fault, "%.*s", (int)text.len, (const char *)text.ptr);
    if (fault == REDIS_FAULT_STATE)
        doubt(p->r, d->fault);
}

/* Where a command wasn't queued, EXEC says that nothing was done, and that one's error why. */
static void take_block(struct pending *p, struct slice reply)
{
    struct buf *why = p->more ? &p->more->dump : NULL;
    if (p->q.left && resp_reply_is_error(reply) && !(why && why->len)) {
        struct slice text = redis_text(reply);
        buf_add(&detail(p)->dump, text.ptr, text.len);
    }
    if (p->q.left)
        return;
    if (p->more && p->more->fault[0]) {
        answer_down(p, p->more->fault, false);
    } else if (why && why->len && resp_reply_is_error(reply)) {
        struct buf b = BUF_INIT;
        resp_add_error(&b, "EXECABORT Transaction discarded because of: %.*s", (int)why->len,
                       (const char *)buf_head(why));
        answer(p, true, buf_slice(&b));
        buf_fini(&b);
    } else {
        answer(p, true, reply);
    }
}

static void on_reply(struct backend_question *q, const struct slice *reply, const char *why,
                     bool sent)
{
    struct pending *p = (struct pending *)(void *)q;
    if (!reply) {
        answer_down(p, why, sent);
        return;
    }
    note_fault(p, *reply);
    if (p->block) {
        take_block(p, *reply);
        return;
    }
    if (p->more && p->more->fault[0]) {
        if (p->q.left == 0)
            answer_down(p, p->more->fault, false);
        return;
    }
    switch (p->kind) {
    case PLAIN:
    case WRITE:
        answer(p, true, *reply);
        break;
    case SIZE:
        answer_size(p, *reply);
        break;
    case SCAN:
        answer_scan(p, *reply);
        break;
    case INSPECT:
        take_inspect(p, *reply);
        break;
    }
}

/* ---- the connection
 * -------------------------------------------------------------------------------- */

struct store_reader *redis_reader_new(struct store *store, uv_loop_t *loop)
{
    struct redis_side *s = MEM_NEW(struct redis_side);
    s->loop = loop;
    backend_side_init(&s->side, &((struct redis *)(void *)store)->backend, loop, &redis_protocol);
    return &s->side.base;
}

void redis_reader_free(struct store_reader *reader)
{
    struct redis_side *s = (struct redis_side *)(void *)reader;
    backend_side_fini(&s->side);
    redis_watches_end(&s->watches);
    mem_free(s);
}

struct backend_conn *redis_reader_conn(struct store_reader *reader)
{
    return ((struct redis_side *)(void *)reader)->side.conn;
}

struct redis_watches *redis_reader_watches(struct store_reader *reader)
{
    return &((struct redis_side *)(void *)reader)->watches;
}

uv_loop_t *redis_reader_loop(struct store_reader *reader)
{
    return ((struct redis_side *)(void *)reader)->loop;
}

/* ---- questions
 * ------------------------------------------------------------------------------------- */

static void add(struct buf *out, const char *name, struct slice arg)
{
    struct slice argv[2] = {slice_str(name), arg};
    resp_add_command(out, argv, 2);
}

/* NULL: answered, it can't be asked. Else its commands go to *out, then backend_side_ask. */
static struct pending *begin(struct redis_side *s, int kind, store_read_fn *fn, void *arg,
                             struct buf **out)
{
    struct pending *p = MEM_NEW(struct pending);
    p->q.answer = on_reply;
    p->kind = kind;
    p->r = (struct redis *)(void *)s->side.base.store;
    p->fn = fn;
    p->arg = arg;
    *out = backend_side_begin(&s->side, &p->q);
    return *out ? p : NULL;
}

static int kind_of(const struct command_spec *spec, const struct resp_command *cmd)
{
    if (spec->class_ == COMMAND_OVERWRITE || spec->class_ == COMMAND_CHANGE)
        return command_class_of(spec, cmd) == COMMAND_READ ? PLAIN : WRITE;
    if (!(spec->flags & COMMAND_NODE_STORE))
        return PLAIN;
    return strcmp(spec->name, "DBSIZE") == 0 ? SIZE
           : strcmp(spec->name, "SCAN") == 0 ? SCAN
                                             : PLAIN;
}

static void add_word(struct buf *out, const char *word)
{
    struct slice s = slice_str(word);
    resp_add_command(out, &s, 1);
}

unsigned redis_add_block(struct buf *out, const struct resp_command *record)
{
    struct transaction t;
    unsigned n = 2;
    add_word(out, "MULTI");
    for (transaction_open(&t, record); transaction_next(&t); n++)
        buf_add(out, t.bytes.ptr, t.bytes.len);
    transaction_close(&t);
    add_word(out, "EXEC");
    return n;
}

/* PFCOUNT of one key keeps what it counted in the key: no two replicas would be the same. Of two it
 * keeps nothing. */
static void pass_read(struct buf *out, const struct command_spec *spec,
                      const struct resp_command *cmd, bool alone)
{
    if (alone || cmd->argc != 2 || strcmp(spec->name, "PFCOUNT") != 0) {
        resp_pass_command(out, cmd);
        return;
    }
    const struct slice twice[] = {cmd->argv[0], cmd->argv[1], cmd->argv[1]};
    resp_add_command(out, twice, ARRAY_LEN(twice));
}

void redis_read(struct store_reader *reader, const struct command_spec *spec,
                const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg)
{
    struct redis_side *s = (struct redis_side *)(void *)reader;
    struct buf *out;
    if ((spec->flags & COMMAND_RECORD) && !transaction_is(spec)) {
        redis_versions(reader, cmd, fn, arg);
        return;
    }
    struct pending *p = begin(s, kind_of(spec, cmd), fn, arg, &out);
    unsigned replies = 1;
    size_t key[1];
    if (!p)
        return;
    p->block = transaction_is(spec);
    if (p->block)
        replies = redis_add_block(out, cmd);
    else
        pass_read(out, spec, cmd, store_is_alone(&p->r->backend.base));
    if (p->kind == SIZE) {
        detail(p);
        add(out, "EXISTS", slice_str(REDIS_NUMBERS_KEY));
        replies = 2;
    } else if (stamped && p->kind == PLAIN && !store_is_alone(&p->r->backend.base) &&
               command_keys(spec, cmd, key, 1)) {
        p->label = stamps_get(p->r->backend.stamps, stamps_hash(cmd->argv[key[0]]));
    }
    backend_side_ask(&s->side, &p->q, replies);
}

void redis_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg)
{
    struct redis_side *s = (struct redis_side *)(void *)reader;
    struct buf *out;
    struct pending *p = begin(s, INSPECT, fn, arg, &out);
    if (!p)
        return;
    detail(p);
    p->label = stamps_get(p->r->backend.stamps, stamps_hash(key));
    add(out, "TYPE", key);
    add(out, "STRLEN", key);
    add(out, "DUMP", key);
    add(out, "PEXPIRETIME", key); /* since 7.0; else its digest is without */
    backend_side_ask(&s->side, &p->q, 4);
}
