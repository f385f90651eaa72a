#include "request/handoff_chunk.h"
#include "core/log.h"
#include "core/mem.h"
#include "ring/hash.h"
#include "wire/command.h"

/* As the coordinator computed it: by the command's first key. */
static bool token_of(struct slice payload, const struct config *c, struct resp_command *cmd,
                     uint32_t *token)
{
    enum hash_kind hash;
    size_t key;
    if (!resp_command_parse(payload, cmd) || !cmd->argc || !hash_parse(c->hash, &hash))
        return false;
    const struct command_spec *spec = command_find(cmd->argv[0]);
    if (!spec || command_keys(spec, cmd, &key, 1) == 0)
        return false;
    *token = hash_token(hash, hash_tagged(cmd->argv[key], c->hash_tag));
    return true;
}

static void add_heirs(struct handoff_chunk *c, const uint16_t *node, unsigned n)
{
    if (c->n_heirs + n > c->cap_heirs) {
        c->cap_heirs = 2 * (c->n_heirs + n);
        c->heir = mem_realloc(c->heir, c->cap_heirs * sizeof *c->heir);
    }
    for (unsigned i = 0; i < n; i++)
        c->heir[c->n_heirs++] = (struct handoff_heir){.node = node[i]};
}

static void add_record(struct handoff_chunk *c, const struct frame *f, const uint16_t *heirs,
                       unsigned n)
{
    struct handoff_record *r = &c->record[c->n++];
    *r = (struct handoff_record){.frame = *f,
                                 .at = c->bytes.len,
                                 .len = f->payload.len,
                                 .first = (unsigned)c->n_heirs,
                                 .n = n,
                                 .expired = c->expired,
                                 .dropped = c->dropped};
    r->frame.payload = slice_of(NULL, 0);
    r->frame.flags = 0; /* nobody waits for a reply any more */
    buf_add(&c->bytes, f->payload.ptr, f->payload.len);
    add_heirs(c, heirs, n);
}

static void clear(struct handoff_chunk *c)
{
    c->n = c->n_heirs = 0;
    c->expired = c->dropped = 0;
    buf_reset(&c->bytes, 2 * HANDOFF_BYTES);
}

bool handoff_chunk_read(struct handoff_chunk *c, const struct orphan *o, const struct heirs *heirs,
                        const struct config *config, const struct topology *now, uint64_t steady_ms)
{
    struct resp_command cmd = {0};
    struct slice bytes;
    struct frame f;
    uint64_t after = hint_log_acked(o->log).seq;
    size_t seen = 0, size = 0; /* also of what is passed over: the same records each time */
    clear(c);
    for (; seen < HANDOFF_RECORDS && size < HANDOFF_BYTES; seen++, after = f.seq) {
        uint16_t heir[RING_REPLICAS_MAX];
        uint32_t token;
        unsigned n = 0;
        if (!hint_log_next(o->log, after, &f, &bytes))
            break;
        size += f.payload.len;
        if (f.deadline && f.deadline < steady_ms) {
            c->expired++;
            continue;
        }
        if (heirs && token_of(f.payload, config, &cmd, &token))
            n = heirs_of(heirs, now, token, heir);
        if (n)
            add_record(c, &f, heir, n);
        else
            c->dropped++;
    }
    c->upto = after;
    resp_command_fini(&cmd);
    return seen > 0;
}

struct frame handoff_frame(const struct handoff_chunk *c, const struct handoff_record *r)
{
    struct frame f = r->frame;
    f.payload = slice_of(buf_head(&c->bytes) + r->at, r->len);
    return f;
}

void handoff_chunk_cut(struct handoff_chunk *c, size_t i)
{
    const struct handoff_record *r = &c->record[i];
    c->upto = r->frame.seq - 1;
    c->expired = r->expired;
    c->dropped = r->dropped;
    c->n = i;
}

void handoff_chunk_fini(struct handoff_chunk *c)
{
    buf_fini(&c->bytes);
    mem_free(c->heir);
}
