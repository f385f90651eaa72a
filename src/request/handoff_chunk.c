#include "request/handoff_chunk.h"
#include "core/log.h"
#include "core/mem.h"
#include "ring/hash.h"
#include "wire/command.h"

/* All keys of a command had the same holders; now each may have others. */
static unsigned add_holders(const uint16_t *node, unsigned n, uint16_t *out, unsigned before)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < before && out[k] != node[i])
            k++;
        if (k == before && before < RING_NODES_MAX)
            out[before++] = node[i];
    }
    return before;
}

unsigned handoff_heirs(struct slice payload, const struct config *c, const struct heirs *heirs,
                       const struct topology *now, struct resp_command *cmd, uint16_t *out)
{
    enum hash_kind hash;
    unsigned n = 0;
    if (!resp_command_parse(payload, cmd) || !cmd->argc || !hash_parse(c->hash, &hash))
        return 0;
    const struct command_spec *spec = command_find(cmd->argv[0]);
    size_t *keys = mem_alloc(cmd->argc * sizeof *keys);
    size_t nkeys = spec ? command_keys(spec, cmd, keys, cmd->argc) : 0;
    for (size_t i = 0; i < nkeys; i++) {
        uint16_t heir[RING_REPLICAS_MAX];
        uint32_t token = hash_token(hash, hash_tagged(cmd->argv[keys[i]], c->hash_tag));
        n = add_holders(heir, heirs_of(heirs, now, token, heir), out, n);
    }
    mem_free(keys);
    return n;
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
        uint16_t heir[RING_NODES_MAX];
        unsigned n = 0;
        if (!hint_log_next(o->log, after, &f, &bytes))
            break;
        size += f.payload.len;
        if (f.deadline && f.deadline < steady_ms) {
            c->expired++;
            continue;
        }
        if (heirs)
            n = handoff_heirs(f.payload, config, heirs, now, &cmd, heir);
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
