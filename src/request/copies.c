#include "request/copies.h"
#include "core/mem.h"
#include "proto/link.pb-c.h"
#include <string.h>

/* ---- on the link ------------------------------------------------------------------------------
 */

static void pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    protobuf_c_message_pack(m, buf_reserve(out, n));
    buf_commit(out, n);
}

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.ptr};
}

static struct store_stamp stamp_of(uint64_t time, uint32_t tag)
{
    return (struct store_stamp){time, (uint16_t)tag};
}

void copies_pack(const struct mend_copy *c, struct slice command, struct buf *out)
{
    LinkCopy m = LINK_COPY__INIT;
    m.exists = c->exists;
    m.digest = c->digest;
    m.weight = c->weight;
    m.bytes = c->bytes;
    m.expires = c->expires;
    m.expires_roughly = c->expires_roughly;
    m.overwrite = c->overwrite.time;
    m.overwrite_tag = c->overwrite.tag;
    m.newest = c->newest.time;
    m.newest_tag = c->newest.tag;
    m.newest_exact = c->newest_exact;
    m.forgotten = c->forgotten;
    m.below = c->below;
    m.has_command = command.len > 0;
    m.command = bytes_of(command);
    pack(&m.base, out);
}

bool copies_unpack(struct slice bytes, struct mend_copy *c, struct blob **command)
{
    LinkCopy *m = link_copy__unpack(NULL, bytes.len, bytes.ptr);
    if (!m)
        return false;
    *c = (struct mend_copy){.answered = true,
                            .exists = m->exists,
                            .digest = m->digest,
                            .weight = m->weight,
                            .bytes = m->bytes,
                            .expires = m->expires,
                            .expires_roughly = m->expires_roughly,
                            .overwrite = stamp_of(m->overwrite, m->overwrite_tag),
                            .newest = stamp_of(m->newest, m->newest_tag),
                            .newest_exact = m->newest_exact,
                            .forgotten = m->forgotten,
                            .below = m->below};
    *command = m->has_command ? blob_new(m->command.data, m->command.len) : NULL;
    link_copy__free_unpacked(m, NULL);
    return true;
}

void copies_pack_mend(const struct mend *from, struct buf *out)
{
    LinkMend m = LINK_MEND__INIT;
    m.command = bytes_of(from->command);
    m.overwrite = from->overwrite.time;
    m.overwrite_tag = from->overwrite.tag;
    m.newest = from->newest.time;
    m.newest_tag = from->newest.tag;
    m.upto = from->upto.time;
    m.upto_tag = from->upto.tag;
    pack(&m.base, out);
}

static const char *const results[] = {[MEND_APPLIED] = "+OK\r\n",
                                      [MEND_NEWER] = "+NEWER\r\n",
                                      [MEND_FAILED] = "-ERR the copy wasn't taken\r\n"};

bool copies_mend_result(struct slice reply, enum mend_result *out)
{
    for (size_t i = 0; i < ARRAY_LEN(results); i++)
        if (slice_eq(reply, slice_str(results[i]))) {
            *out = (enum mend_result)i;
            return true;
        }
    return false;
}

/* ---- copies -----------------------------------------------------------------------------------
 */

struct taking {
    struct copies *all;
    uint64_t below;
    copies_copy_fn *fn;
    void *arg;
};

/* If only a write that may be on its way stands against it, the peers are asked whether it is. */
static void ask_for_beats(struct copies *all)
{
    struct msg *m = MEM_NEW(struct msg);
    m->type = MAIL_BEATS_WANTED;
    actor_send(all->writer, m);
}

static void on_copy(void *arg, const struct store_copy *from)
{
    struct taking *t = arg;
    struct mend_copy c = {0};
    if (from->ok)
        mend_weigh(from, t->below, &c);
    if (from->ok && c.newest.time >= c.below)
        ask_for_beats(t->all);
    t->fn(t->arg, &c, from->command);
    mem_free(t);
}

static bool is_hidden(struct slice key)
{
    size_t n = sizeof STORE_HIDDEN_PREFIX - 1;
    return key.len >= n && memcmp(key.ptr, STORE_HIDDEN_PREFIX, n) == 0;
}

void copies_take(struct copies *all, struct slice key, bool command, copies_copy_fn *fn, void *arg)
{
    struct taking *t = MEM_NEW(struct taking);
    *t = (struct taking){.all = all, .fn = fn, .arg = arg};
    t->below = __atomic_load_n(all->settled_below, __ATOMIC_ACQUIRE); /* before the copy is made */
    if (is_hidden(key))
        on_copy(t, &(struct store_copy){.ok = false});
    else
        store_copy(all->reader, key, command, on_copy, t);
}

/* ---- mends ------------------------------------------------------------------------------------
 */

#define MENDING_MAX (64u * 1024 * 1024) /* bytes at the writer; one may have any size */

struct mending {
    copies_mend_fn *fn;
    void *arg;
};

void copies_mend(struct copies *all, const struct mend *from, copies_mend_fn *fn, void *arg)
{
    if (all->mending_bytes >= MENDING_MAX) { /* honest peers never have so many on their way */
        fn(arg, MEND_FAILED);
        return;
    }
    struct mending *waits = MEM_NEW(struct mending);
    struct mail_mend *m = MEM_NEW(struct mail_mend);
    all->mending_bytes += from->command.len;
    *waits = (struct mending){.fn = fn, .arg = arg};
    m->msg.type = MAIL_MEND;
    m->worker = all->worker;
    m->ticket = slots_put(&all->mending, waits);
    m->command = blob_new(from->command.ptr, from->command.len);
    m->overwrite = from->overwrite;
    m->mend = (struct store_mend){.upto = from->upto, .newest = from->newest};
    actor_send(all->writer, &m->msg);
}

void copies_mail_mend(struct copies *all, struct mail_mend *m)
{
    struct mending *waits = slots_get(&all->mending, m->ticket);
    enum mend_result result = m->result;
    all->mending_bytes -= m->command->len;
    slots_drop(&all->mending, m->ticket);
    mail_mend_free(m);
    if (!waits)
        return;
    waits->fn(waits->arg, result);
    mem_free(waits);
}

void copies_fini(struct copies *all)
{
    uint32_t at = 0;
    for (struct mending *waits; (waits = slots_next(&all->mending, &at));) {
        waits->fn(waits->arg, MEND_FAILED);
        mem_free(waits);
    }
    slots_fini(&all->mending);
}

/* ---- for others -------------------------------------------------------------------------------
 */

struct asked {
    store_read_fn *fn;
    void *arg;
};

static void reply(struct asked *a, bool ok, struct slice bytes)
{
    a->fn(a->arg, &(struct store_read_reply){.ok = ok, .reply = bytes});
    mem_free(a);
}

static void on_asked_copy(void *arg, const struct mend_copy *c, struct slice command)
{
    struct buf b = BUF_INIT;
    if (c->answered)
        copies_pack(c, command, &b);
    reply(arg, c->answered, buf_slice(&b));
    buf_fini(&b);
}

static void on_asked_mend(void *arg, enum mend_result result)
{
    reply(arg, true, slice_str(results[result]));
}

static void serve_mend(struct copies *all, struct slice bytes, struct asked *a)
{
    LinkMend *m = link_mend__unpack(NULL, bytes.len, bytes.ptr);
    if (!m) {
        on_asked_mend(a, MEND_FAILED);
        return;
    }
    struct mend from = {.command = slice_of(m->command.data, m->command.len),
                        .overwrite = stamp_of(m->overwrite, m->overwrite_tag),
                        .newest = stamp_of(m->newest, m->newest_tag),
                        .upto = stamp_of(m->upto, m->upto_tag)};
    copies_mend(all, &from, on_asked_mend, a);
    link_mend__free_unpacked(m, NULL);
}

void copies_serve(struct copies *all, const struct frame *f, store_read_fn *fn, void *arg)
{
    struct asked *a = MEM_NEW(struct asked);
    *a = (struct asked){.fn = fn, .arg = arg};
    if (f->kind == FRAME_MEND)
        serve_mend(all, f->payload, a);
    else
        copies_take(all, f->payload, f->tag & 1, on_asked_copy, a);
}
