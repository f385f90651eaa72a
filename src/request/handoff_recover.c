#include "core/datadir.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/keep.h"
#include "request/handoff.h"
#include "request/handoff_chunk.h"
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (1024u * 1024)

/* ---- the file: a line for each log, "name number"; names are those of places, since a log's
 * directory gets another when its peer is met */

bool handoff_begin(const struct orphan *o, const struct topology *now, const struct peers *peers,
                   struct error *e)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < peers->n; i++) {
        char place[NODE_ID_SIZE];
        if (!peers->at[i])
            continue;
        keep_new_name(&now->nodes[i], place);
        buf_printf(&b, "%s %" PRIu64 "\n", place, hint_log_appended(peers->at[i]->log).seq);
    }
    char *path = mem_printf("%s/handoff", o->dir);
    bool ok = file_replace(path, buf_slice(&b), e);
    mem_free(path);
    buf_fini(&b);
    return ok;
}

void handoff_end(const struct orphan *o)
{
    char *path = mem_printf("%s/handoff", o->dir);
    unlink(path);
    mem_free(path);
}

/* A log into which some of the chunk may have gone. */
struct target {
    const struct ring_node *node;
    struct hint_log *log;
    uint64_t after; /* its end when the handoff began */
};
struct recovery {
    struct orphan *orphan;
    const struct topology *now;
    const struct peers *peers;
    struct orphans *all;
    struct handoff_chunk chunk;
    struct target *target;
    size_t n_targets;
    uint64_t lowest, highest; /* of the chunk's stamps */
    size_t found;             /* the last record that was found, and those before it: how many */
};

static void add_target(struct recovery *r, const struct ring_node *node, struct hint_log *log,
                       uint64_t after)
{
    r->target = mem_realloc(r->target, (r->n_targets + 1) * sizeof *r->target);
    r->target[r->n_targets++] = (struct target){.node = node, .log = log, .after = after};
}

static bool is_place(const struct ring_node *n, const char *name)
{
    char place[NODE_ID_SIZE];
    if (!n->ntokens)
        return false;
    keep_new_name(n, place);
    return strcmp(place, name) == 0;
}

static void take_line(struct recovery *r, const char *line)
{
    char name[NODE_ID_SIZE];
    uint64_t after;
    if (sscanf(line, "%36s %" SCNu64, name, &after) != 2)
        return;
    for (unsigned i = 0; i < r->peers->n; i++)
        if (r->peers->at[i] && is_place(&r->now->nodes[i], name))
            add_target(r, &r->now->nodes[i], r->peers->at[i]->log, after);
    for (unsigned i = 0; i < r->all->n; i++)
        if (&r->all->at[i] != r->orphan && is_place(&r->all->at[i].node, name))
            add_target(r, &r->all->at[i].node, r->all->at[i].log, after);
}

static bool read_file(struct recovery *r)
{
    struct buf b = BUF_INIT;
    struct error e;
    bool missing = false;
    char *path = mem_printf("%s/handoff", r->orphan->dir), *save = NULL;
    if (!file_read(path, FILE_MAX, &b, &missing, &e))
        log_error("%s", e.text);
    buf_add(&b, "", 1);
    char *text = (char *)(uintptr_t)buf_head(&b);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        take_line(r, line);
    buf_fini(&b);
    mem_free(path);
    return !missing;
}

/* ---- what was done ----------------------------------------------------------------------------
 */

static void find_bounds(struct recovery *r)
{
    r->lowest = UINT64_MAX;
    for (size_t i = 0; i < r->chunk.n; i++) {
        uint64_t stamp = r->chunk.record[i].frame.stamp;
        r->lowest = stamp < r->lowest ? stamp : r->lowest;
        r->highest = stamp > r->highest ? stamp : r->highest;
    }
}

static struct handoff_record *record_of(struct recovery *r, const struct frame *f)
{
    struct handoff_chunk *c = &r->chunk;
    bool may_be = f->stamp >= r->lowest && f->stamp <= r->highest;
    for (size_t i = 0; may_be && i < c->n; i++)
        if (c->record[i].frame.stamp == f->stamp && c->record[i].frame.tag == f->tag)
            return &c->record[i];
    return NULL;
}

/* The ring may have changed again since: the copy in a rack is the heir's of that rack. */
static void mark_done(struct recovery *r, const struct handoff_record *rec, const struct target *t)
{
    size_t index = (size_t)(rec - r->chunk.record);
    r->found = index + 1 > r->found ? index + 1 : r->found;
    for (unsigned i = 0; i < rec->n; i++) {
        struct handoff_heir *heir = &r->chunk.heir[rec->first + i];
        heir->done |= heirs_same_rack(t->node, &r->now->nodes[heir->node]);
    }
}

static void look_into(struct recovery *r, const struct target *t)
{
    struct frame f;
    struct slice bytes;
    uint64_t after = t->after, acked = hint_log_acked(t->log).seq;
    after = acked > after ? acked : after;
    for (; hint_log_next(t->log, after, &f, &bytes); after = f.seq) {
        const struct handoff_record *rec = record_of(r, &f);
        if (rec)
            mark_done(r, rec, t);
    }
}

/* ---- what is left to do -----------------------------------------------------------------------
 */

static void append(struct recovery *r, const struct handoff_record *rec, unsigned node)
{
    struct frame f = handoff_frame(&r->chunk, rec);
    struct peer *p = r->peers->at[node]; /* none: this node, whose store came before the logs */
    if (p && hint_peer_append(p->hints, &f, HINT_AS_LIVE) != HINT_PUT_STORED)
        log_error("log of peer %s: a hint of %s can't be handed to it: %s", p->log_name,
                  r->orphan->name, hint_peer_error(p->hints));
}

static void sync_all(const struct recovery *r)
{
    struct error e;
    uint64_t synced;
    for (size_t i = 0; i < r->n_targets; i++)
        if (!hint_log_sync(r->target[i].log, &synced, &e))
            log_error("hints: %s", e.text);
}

static void complete(struct recovery *r)
{
    struct handoff_chunk *c = &r->chunk;
    for (size_t i = 0; i < r->found; i++)
        for (unsigned k = 0; k < c->record[i].n; k++) {
            const struct handoff_heir *heir = &c->heir[c->record[i].first + k];
            if (!heir->done)
                append(r, &c->record[i], heir->node);
        }
    sync_all(r);
    hint_peer_ack(r->orphan->hints, c->record[r->found - 1].frame.seq);
    log_notice("%s: the last run had handed off %zu of its hints without saying so", r->orphan->dir,
               r->found);
}

static void recover(struct recovery *r, const struct config *c)
{
    if (!r->orphan->heirs || !read_file(r))
        return;
    if (handoff_chunk_read(&r->chunk, r->orphan, r->orphan->heirs, c, r->now, 0))
        find_bounds(r);
    for (size_t i = 0; r->chunk.n && i < r->n_targets; i++)
        look_into(r, &r->target[i]);
    if (r->found)
        complete(r);
    handoff_end(r->orphan);
    if (orphan_hints(r->orphan).pending == 0 && !r->orphan->unreadable)
        orphan_remove(r->orphan);
}

void handoff_recover(struct orphans *all, const struct config *c, const struct topology *now,
                     const struct peers *peers)
{
    for (unsigned i = 0; i < all->n; i++) {
        struct recovery *r = MEM_NEW(struct recovery);
        r->orphan = &all->at[i];
        r->now = now;
        r->peers = peers;
        r->all = all;
        recover(r, c);
        handoff_chunk_fini(&r->chunk);
        mem_free(r->target);
        mem_free(r);
    }
}
